// Tests the machine of programs without Python, for the sanitizers: random programs on random batches against a plain
// interpreter, with the instruction set of the environment variable; and the same bits on one thread.
//
// `program_test N` runs N problems, prints "N passed, N failed" and exits with 1 if any failed.
#include <numeric>

#include "kernels/program/check.h"
#include "problems.h"

namespace {

using throughtime::Instruction;
using throughtime::Operator;
using throughtime::Order;
using throughtime::Place;
using throughtime::PlaceKind;

struct Rows {
  Index columns = 0;
  Values values;
  bool is_given = true;
};

struct Problem {
  throughtime::ProgramSource source;
  std::vector<Rows> tokens, previous, initial, sequences, vectors, states, matrices;
  Order order = Order::ragged;
  Index batch = 0, length = 0, total = 0;
  std::vector<Index> index;
  std::vector<std::vector<Index>> rows;  // of each sequence, in the order in which they are read
  bool from_end = false;
  int threads = 1;
};

struct Results {
  std::vector<Values> final_states, outputs;
};

// Writes instructions whose results are of moderate size: what may be large goes through tanh.
class Writer {
 public:
  Writer(Random& random, Problem& problem) : random_(random), p_(problem), source_(problem.source) {}

  void write(int count) {
    leaves();
    for (int i = 0; i < count; ++i) {
      const Index choice = random_.number(0, 9);
      choice < 5 ? pointwise() : choice < 7 ? layout() : choice < 8 ? row() : product();
    }
    ends();
  }

 private:
  struct Value {
    PlaceKind kind;
    std::int32_t index;
    Index width;
  };

  Index width() { return random_.number(0, 1) == 0 ? random_.number(1, 9) : random_.number(10, 70); }

  void leaves() {
    const std::pair<PlaceKind, std::vector<Rows>*> kinds[] = {{PlaceKind::token, &p_.tokens},
                                                              {PlaceKind::previous, &p_.previous},
                                                              {PlaceKind::sequence, &p_.sequences},
                                                              {PlaceKind::vector, &p_.vectors},
                                                              {PlaceKind::state, &p_.states}};
    for (const auto& [kind, all] : kinds) {
      for (std::int32_t k = 0; k < random_.number(1, 2); ++k) {
        all->push_back({width(), {}, true});
        values_.push_back({kind, k, all->back().columns});
        if (kind == PlaceKind::state) source_.states.push_back(all->back().columns);
      }
    }
  }

  // Columns of some value, if need be of a new one that repeats a single column.
  Place operand(Index width, bool of_tokens = false) {
    std::vector<Value> wide;
    for (const Value& value : values_) {
      if (value.width >= width && (!of_tokens || value.kind == PlaceKind::token)) wide.push_back(value);
    }
    if (wide.empty()) {
      const Place out = local(width);
      add(Operator::repeat, out, {{PlaceKind::token, 0, 0}}, width, 1);
      return out;
    }
    const Value& value = wide[static_cast<std::size_t>(random_.number(0, static_cast<Index>(wide.size()) - 1))];
    return {value.kind, value.index, random_.number(0, value.width - width)};
  }

  Place local(Index width) {
    source_.locals.push_back(width);
    return {PlaceKind::local, static_cast<std::int32_t>(source_.locals.size()) - 1, 0};
  }

  // A register of one of both kinds, sometimes a part of a wider one.
  Place result(Index width) {
    if (random_.number(0, 2) > 0) return local(width);
    const Index offset = random_.number(0, 1) * random_.number(0, 9);
    source_.rows.push_back(offset + width + random_.number(0, 3));
    return {PlaceKind::row, static_cast<std::int32_t>(source_.rows.size()) - 1, offset};
  }

  void add(Operator kind, Place out, std::vector<Place> operands, Index width, Index index = 0, double first = 0,
           double second = 0) {
    Instruction one{kind, out, static_cast<int>(operands.size()), {}, width, index, {first, second}};
    std::copy(operands.begin(), operands.end(), one.operand);
    source_.instructions.push_back(one);
  }

  // Makes what is in a place bounded, and of use to others.
  void finish(Place place, Index width) {
    add(Operator::tanh, place, {place}, width);
    if (place.offset == 0) values_.push_back({place.kind, place.index, width});
  }

  static bool is_discontinuous(Operator kind) {
    return (kind >= Operator::lt && kind <= Operator::ne) || kind == Operator::sign || kind == Operator::where;
  }

  static bool needs_positive(Operator kind) {
    return kind == Operator::div || kind == Operator::log || kind == Operator::log1p || kind == Operator::sqrt ||
           kind == Operator::rsqrt || kind == Operator::reciprocal || kind == Operator::pow;
  }

  void pointwise() {
    const auto kind = static_cast<Operator>(random_.number(0, static_cast<Index>(Operator::tanh_gradient)));
    const Index w = width();
    std::vector<Place> operands;
    for (int i = 0; i < throughtime::program_operators()[static_cast<std::size_t>(kind)].operands; ++i) {
      operands.push_back(operand(w, is_discontinuous(kind) && (i == 0 || kind != Operator::where)));
    }
    if (needs_positive(kind)) {
      const Place positive = local(w);
      add(Operator::sigmoid, positive, {operands.back()}, w);
      add(Operator::affine, positive, {positive}, w, 0, 0.5, 0.25);
      operands.back() = positive;
    }
    const double exponents[] = {2, 3, -1, 0.5, -0.5, 1.7};
    const bool is_power = kind == Operator::pow;
    const double number = is_power ? exponents[random_.number(0, 5)] : kind == Operator::affine ? 1.5 : 0;
    const Place out = result(w);
    add(kind, out, operands, w, 0, number, kind == Operator::affine ? -0.5 : 0);
    finish(out, w);
  }

  void layout() {
    const auto kind =
        static_cast<Operator>(random_.number(static_cast<Index>(Operator::sum),
                                             static_cast<Index>(Operator::inverse_deviation)));
    const bool narrow = kind != Operator::repeat && kind != Operator::tile;
    const Index few = random_.number(1, 20), wide = few * random_.number(1, 5), w = narrow ? few : wide;
    const Place a = operand(narrow ? wide : few), out = result(w);
    add(kind, out, {a}, w, narrow ? wide : few, kind == Operator::inverse_deviation ? 0.5 : 0);
    finish(out, w);
  }

  void row() {
    const bool is_gradient = random_.number(0, 1) == 1;
    const Index w = width();
    std::vector<Place> operands{operand(w)};
    if (is_gradient) operands.push_back(operand(w));
    operands.push_back(operand(1));
    const Place out = result(w);
    add(is_gradient ? Operator::standardize_gradient : Operator::standardize, out, operands, w);
    finish(out, w);
  }

  void product() {
    const Index w = width();
    std::vector<Value> kept;
    for (const Value& value : values_) {
      if (value.kind == PlaceKind::row || value.kind == PlaceKind::state) kept.push_back(value);
    }
    const Value& a = kept[static_cast<std::size_t>(random_.number(0, static_cast<Index>(kept.size()) - 1))];
    const Index depth = random_.number(1, a.width);
    const bool transposed = random_.number(0, 1) == 1;
    p_.matrices.push_back({transposed ? w : depth, random_.values(w * depth), true});
    for (double& one : p_.matrices.back().values) one = static_cast<float>(one / std::sqrt(static_cast<double>(depth)));
    source_.slots.push_back({static_cast<std::int32_t>(p_.matrices.size()) - 1, transposed});
    std::vector<Place> operands{{a.kind, a.index, random_.number(0, a.width - depth)}};
    const Place b = operand(w);
    if (b.kind != PlaceKind::local) operands.push_back(b);
    source_.rows.push_back(w);
    const Place out{PlaceKind::row, static_cast<std::int32_t>(source_.rows.size()) - 1, 0};
    add(Operator::product, out, operands, w, static_cast<Index>(source_.slots.size()) - 1);
    values_.erase(std::remove_if(values_.begin(), values_.end(),
                                 [](const Value& value) { return value.kind == PlaceKind::local; }),
                  values_.end());
    finish(out, w);
  }

  void ends() {
    for (std::int32_t k = 0; k < static_cast<std::int32_t>(source_.states.size()); ++k) {
      const Index whole = source_.states[static_cast<std::size_t>(k)], cut = random_.number(1, whole);
      add(Operator::copy, {PlaceKind::next, k, 0}, {operand(cut)}, cut);
      if (cut < whole) add(Operator::copy, {PlaceKind::next, k, cut}, {operand(whole - cut)}, whole - cut);
      values_.push_back({PlaceKind::next, k, whole});
    }
    for (std::int32_t k = 0; k < random_.number(0, 3); ++k) {
      source_.outputs.push_back(width());
      add(Operator::copy, {PlaceKind::output, k, 0}, {operand(source_.outputs.back())}, source_.outputs.back());
    }
  }

  Random& random_;
  Problem& p_;
  throughtime::ProgramSource& source_;
  std::vector<Value> values_;
};

void choose_batch(Random& random, Problem& p, bool is_large) {
  p.order = static_cast<Order>(random.number(0, 3));
  p.batch = random.number(0, is_large ? 40 : 6);
  const Index most = is_large ? 30 : 6;
  std::vector<Index> lengths(static_cast<std::size_t>(p.batch));
  if (p.order == Order::time_major || p.order == Order::batch_first) {
    p.length = random.number(0, most);
    std::fill(lengths.begin(), lengths.end(), p.length);
  } else {
    for (Index& one : lengths) one = random.number(0, most);
  }
  if (p.order == Order::packed) {
    std::sort(lengths.rbegin(), lengths.rend());
    p.length = lengths.empty() ? 0 : lengths[0];
    for (Index t = 0; t < p.length; ++t) {
      p.index.push_back(std::count_if(lengths.begin(), lengths.end(), [&](Index one) { return one > t; }));
    }
  }
  if (p.order == Order::ragged) {
    p.index = {0};
    for (const Index one : lengths) p.index.push_back(p.index.back() + one);
  }
  p.total = std::accumulate(lengths.begin(), lengths.end(), Index{0});
  p.from_end = random.number(0, 1) == 1;
  p.threads = static_cast<int>(random.number(1, 4));
  for (Index b = 0; b < p.batch; ++b) {
    p.rows.emplace_back();
    Index before = b;
    for (Index t = 0; t < lengths[static_cast<std::size_t>(b)]; ++t) {
      switch (p.order) {
        case Order::ragged: p.rows.back().push_back(p.index[static_cast<std::size_t>(b)] + t); break;
        case Order::time_major: p.rows.back().push_back(t * p.batch + b); break;
        case Order::batch_first: p.rows.back().push_back(b * p.length + t); break;
        case Order::packed:
          p.rows.back().push_back(before);
          before += p.index[static_cast<std::size_t>(t)];
          break;
      }
    }
    if (p.from_end) std::reverse(p.rows.back().begin(), p.rows.back().end());
  }
}

Problem problem_of(unsigned number) {
  Random random(number);
  Problem p;
  const bool is_large = number % 5 == 0;
  Writer(random, p).write(static_cast<int>(random.number(1, 20)));
  choose_batch(random, p, is_large);
  const auto fill = [&](std::vector<Rows>& all, Index rows) {
    for (Rows& one : all) one.values = random.values(rows * one.columns);
  };
  fill(p.tokens, p.total);
  fill(p.previous, p.total);
  fill(p.sequences, p.batch);
  fill(p.vectors, 1);
  fill(p.states, p.batch);
  p.initial = p.previous;
  fill(p.initial, p.batch);
  for (Rows& one : p.states) {
    one.is_given = random.number(0, 2) > 0;
    if (!one.is_given) std::fill(one.values.begin(), one.values.end(), 0.0);
  }
  return p;
}

double result_of(const Instruction& i, double a, double b, double c) {
  switch (i.kind) {
    case Operator::copy: return a;
    case Operator::affine: return i.numbers[0] * a + i.numbers[1];
    case Operator::add: return a + b;
    case Operator::sub: return a - b;
    case Operator::mul: return a * b;
    case Operator::div: return a / b;
    case Operator::neg: return -a;
    case Operator::fma: return a * b + c;
    case Operator::lerp: return a + c * (b - a);
    case Operator::maximum: return std::max(a, b);
    case Operator::minimum: return std::min(a, b);
    case Operator::where: return a != 0 ? b : c;
    case Operator::lt: return a < b;
    case Operator::le: return a <= b;
    case Operator::gt: return a > b;
    case Operator::ge: return a >= b;
    case Operator::eq: return a == b;
    case Operator::ne: return a != b;
    case Operator::sigmoid: return 1 / (1 + std::exp(-a));
    case Operator::tanh: return std::tanh(a);
    case Operator::relu: return std::max(a, 0.0);
    case Operator::exp: return std::exp(a);
    case Operator::log: return std::log(a);
    case Operator::log1p: return std::log1p(a);
    case Operator::expm1: return std::expm1(a);
    case Operator::sqrt: return std::sqrt(a);
    case Operator::rsqrt: return 1 / std::sqrt(a);
    case Operator::reciprocal: return 1 / a;
    case Operator::abs: return std::fabs(a);
    case Operator::sign: return (a > 0) - (a < 0);
    case Operator::sin: return std::sin(a);
    case Operator::cos: return std::cos(a);
    case Operator::erf: return std::erf(a);
    case Operator::softplus: return std::log1p(std::exp(a));
    case Operator::pow: return std::pow(a, i.numbers[0]);
    case Operator::square: return a * a;
    case Operator::sigmoid_gradient: return a * b * (1 - b);
    case Operator::tanh_gradient: return a * (1 - b * b);
    default: return NAN;
  }
}

class Interpreter {
 public:
  explicit Interpreter(const Problem& p) : p_(p) {
    for (const Index width : p.source.states) r_.final_states.emplace_back(p.batch * width, NAN);
    for (const Index width : p.source.outputs) r_.outputs.emplace_back(p.total * width, NAN);
  }

  Results run() {
    for (b_ = 0; b_ < p_.batch; ++b_) {
      state_.clear();
      for (const Rows& one : p_.states) {
        state_.emplace_back(one.values.begin() + b_ * one.columns, one.values.begin() + (b_ + 1) * one.columns);
      }
      const std::vector<Index>& rows = p_.rows[static_cast<std::size_t>(b_)];
      for (std::size_t t = 0; t < rows.size(); ++t) {
        token_ = rows[t];
        before_ = t + 1 < rows.size() ? rows[t + 1] : -1;
        row_ = zeros(p_.source.rows);
        local_ = zeros(p_.source.locals);
        next_ = zeros(p_.source.states);
        for (const Instruction& one : p_.source.instructions) step(one);
        state_ = next_;
      }
      for (std::size_t k = 0; k < state_.size(); ++k) {
        std::copy(state_[k].begin(), state_[k].end(),
                  r_.final_states[k].begin() + b_ * static_cast<Index>(state_[k].size()));
      }
    }
    return r_;
  }

 private:
  static std::vector<Values> zeros(const std::vector<Index>& widths) {
    std::vector<Values> all;
    for (const Index width : widths) all.emplace_back(static_cast<std::size_t>(width), NAN);
    return all;
  }

  static const double* of(const Rows& rows, Index row) { return rows.values.data() + row * rows.columns; }

  const double* read(const Place& place) {
    const auto k = static_cast<std::size_t>(place.index);
    switch (place.kind) {
      case PlaceKind::token: return of(p_.tokens[k], token_) + place.offset;
      case PlaceKind::previous: return (before_ < 0 ? of(p_.initial[k], b_) : of(p_.previous[k], before_)) + place.offset;
      case PlaceKind::sequence: return of(p_.sequences[k], b_) + place.offset;
      case PlaceKind::vector: return of(p_.vectors[k], 0) + place.offset;
      case PlaceKind::state: return state_[k].data() + place.offset;
      default: return written(place);
    }
  }

  double* written(const Place& place) {
    const auto k = static_cast<std::size_t>(place.index);
    switch (place.kind) {
      case PlaceKind::row: return row_[k].data() + place.offset;
      case PlaceKind::local: return local_[k].data() + place.offset;
      case PlaceKind::next: return next_[k].data() + place.offset;
      default: return r_.outputs[k].data() + token_ * p_.source.outputs[k] + place.offset;
    }
  }

  void step(const Instruction& one) {
    double* const out = written(one.out);
    const double* const a = read(one.operand[0]);
    const double* const b = one.operands > 1 ? read(one.operand[1]) : a;
    const double* const c = one.operands > 2 ? read(one.operand[2]) : a;
    const Index width = one.width, count = one.index == 0 ? 0 : std::max(one.index / width, width / one.index);
    Values result(static_cast<std::size_t>(width));
    const auto mean = [&](Index columns, const auto& term) {
      double sum = 0;
      for (Index k = 0; k < columns; ++k) sum += term(k);
      return sum / static_cast<double>(columns);
    };
    const bool is_of_row = one.kind == Operator::standardize || one.kind == Operator::standardize_gradient;
    const double of_a = is_of_row ? mean(width, [&](Index k) { return a[k]; }) : 0;
    const double of_product =
        one.kind == Operator::standardize_gradient ? mean(width, [&](Index k) { return a[k] * b[k]; }) : 0;
    for (Index i = 0; i < width; ++i) {
      double& x = result[static_cast<std::size_t>(i)];
      switch (one.kind) {
        case Operator::sum: x = std::accumulate(a + i * count, a + (i + 1) * count, 0.0); break;
        case Operator::max: x = *std::max_element(a + i * count, a + (i + 1) * count); break;
        case Operator::sum_strided:
          for (Index k = 0; k < count; ++k) x += a[k * width + i];
          break;
        case Operator::repeat: x = a[i / count]; break;
        case Operator::tile: x = a[i % one.index]; break;
        case Operator::inverse_deviation: {
          const double* const group = a + i * count;
          const double middle = mean(count, [&](Index k) { return group[k]; });
          const double variance = mean(count, [&](Index k) { return (group[k] - middle) * (group[k] - middle); });
          x = 1 / std::sqrt(variance + one.numbers[0]);
          break;
        }
        case Operator::standardize: x = (a[i] - of_a) * b[0]; break;
        case Operator::standardize_gradient: x = c[0] * (a[i] - of_a - b[i] * of_product); break;
        case Operator::product: x = product(one, a, i) + (one.operands > 1 ? b[i] : 0); break;
        default: x = result_of(one, a[i], b[i], c[i]);
      }
    }
    std::copy(result.begin(), result.end(), out);
  }

  double product(const Instruction& one, const double* a, Index i) const {
    const throughtime::MatrixSlot& slot = p_.source.slots[static_cast<std::size_t>(one.index)];
    const Rows& matrix = p_.matrices[static_cast<std::size_t>(slot.matrix)];
    const Index depth = static_cast<Index>(matrix.values.size()) / one.width;
    double sum = 0;
    for (Index k = 0; k < depth; ++k) sum += a[k] * matrix.values[slot.transposed ? k * one.width + i : i * depth + k];
    return sum;
  }

  const Problem& p_;
  Results r_;
  std::vector<Values> state_, row_, local_, next_;
  Index b_ = 0, token_ = 0, before_ = 0;
};

// Exactly sized buffers in T, so that a sanitizer sees the first byte beyond.
template <class T>
Results by_machine(const Problem& p, int threads) {
  const throughtime::CheckedProgram checked(p.source);
  const throughtime::Program view = checked.view();
  std::vector<std::vector<T>> buffers;
  buffers.reserve(1000);
  const auto matrices = [&](const std::vector<Rows>& all) {
    std::vector<throughtime::Matrix> views;
    for (const Rows& one : all) {
      buffers.push_back(as<T>(one.values));
      const Index rows = static_cast<Index>(one.values.size()) / one.columns;
      views.push_back({one.is_given ? address(buffers.back()) : nullptr, rows, one.columns});
    }
    return views;
  };
  const auto tokens = matrices(p.tokens), previous = matrices(p.previous), initial = matrices(p.initial),
             sequences = matrices(p.sequences), vectors = matrices(p.vectors), weights = matrices(p.matrices),
             states = matrices(p.states);
  const auto results = [&](const std::vector<Index>& widths, Index rows, std::vector<void*>& places) {
    std::vector<std::vector<T>> all;
    for (const Index width : widths) all.emplace_back(static_cast<std::size_t>(rows * width), static_cast<T>(NAN));
    for (std::vector<T>& one : all) places.push_back(address(one));
    return all;
  };
  std::vector<void*> final_places, output_places;
  const auto final_states = results(p.source.states, p.batch, final_places);
  const auto outputs = results(p.source.outputs, p.total, output_places);
  throughtime::ProgramCall call{};
  call.program = &view;
  call.is_double = sizeof(T) == 8;
  call.from_end = p.from_end;
  call.batch = {p.order, p.batch, p.length, p.index.data()};
  call.threads = threads;
  call.tokens = tokens.data();
  call.previous = previous.data();
  call.previous_initial = initial.data();
  call.sequences = sequences.data();
  call.vectors = vectors.data();
  call.matrices = weights.data();
  call.states = states.data();
  call.final_states = final_places.data();
  call.outputs = output_places.data();
  if (!checked.fault_of(call.matrices).empty()) std::printf("%s\n", checked.fault_of(call.matrices).c_str());
  throughtime::run_program(call);
  Results r;
  for (const std::vector<T>& one : final_states) r.final_states.emplace_back(one.begin(), one.end());
  for (const std::vector<T>& one : outputs) r.outputs.emplace_back(one.begin(), one.end());
  return r;
}

double largest_difference(const Results& found, const Results& expected) {
  double most = 0;
  for (std::size_t k = 0; k < expected.final_states.size(); ++k) {
    most = std::max(most, difference(found.final_states[k], expected.final_states[k]));
  }
  for (std::size_t k = 0; k < expected.outputs.size(); ++k) {
    most = std::max(most, difference(found.outputs[k], expected.outputs[k]));
  }
  return most;
}

template <class T>
bool right(const Problem& p, const Results& expected, double tolerance) {
  const Results found = by_machine<T>(p, p.threads), alone = by_machine<T>(p, 1);
  return largest_difference(found, expected) < tolerance && found.final_states == alone.final_states &&
         found.outputs == alone.outputs;
}

bool check(unsigned number) {
  const Problem p = problem_of(number);
  const Results expected = Interpreter(p).run();
  const bool in_double = right<double>(p, expected, 1e-9), in_single = right<float>(p, expected, 5e-3);
  if (in_double && in_single) return true;
  std::printf("problem %u fails: order %d, B %d, T %d, instructions %d, from_end %d, threads %d: %d and %d\n", number,
              static_cast<int>(p.order), static_cast<int>(p.batch), static_cast<int>(p.total),
              static_cast<int>(p.source.instructions.size()), p.from_end, p.threads, in_double, in_single);
  return false;
}

}  // namespace

int main(int count, char** arguments) { return run_problems(count, arguments, check); }
