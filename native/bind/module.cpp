// The seam between Python and the kernels. Buffers cross it as raw addresses (0.1 us each, where an
// nb::ndarray argument costs 2.5): the caller in Python owns them, and has checked dtype and contiguity.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "bind/conv.h"
#include "bind/norm.h"
#include "bind/pool.h"
#include "bind/reader.h"
#include "kernels/offsets.h"
#include "kernels/parallel.h"
#include "kernels/recurrent/kernels.h"
#include "kernels/recurrent/recurrent.h"
#include "kernels/scratch.h"

namespace nb = nanobind;
using throughtime::Reader;

namespace {

std::tuple<int, std::int64_t, std::int64_t> check_offsets(std::uintptr_t address, std::int64_t count,
                                                          std::int64_t total) {
  const auto result = throughtime::check_offsets(
      reinterpret_cast<const std::int64_t*>(address), count, total);
  return {static_cast<int>(result.fault), result.index, result.longest};
}

throughtime::Shape read_shape(nb::tuple tuple, std::size_t directions) {
  Reader in(tuple);
  throughtime::Shape shape{};
  shape.cell = static_cast<throughtime::Cell>(in.number());
  shape.is_double = in.number() != 0;
  shape.inputs = static_cast<int>(in.number());
  shape.hidden = static_cast<int>(in.number());
  shape.state = static_cast<int>(in.number());
  shape.directions = static_cast<int>(directions);
  if (in.ended()) return shape;  // a plain cell has no options
  throughtime::Options& options = shape.options;
  for (int i = 0; i < 3; ++i) {
    options.activation[i] = static_cast<throughtime::Activation>(in.number());
    options.alpha[i] = in.real();
    options.beta[i] = in.real();
  }
  options.clip = in.real();
  options.cell_clip = in.real();
  options.update_new = in.number() != 0;
  options.gradient_value = in.real();
  options.gradient_norm = in.real();
  return shape;
}

throughtime::Tokens read_tokens(nb::tuple tuple) {
  Reader in(tuple);
  throughtime::Tokens tokens{};
  tokens.order = static_cast<throughtime::Order>(in.number());
  tokens.batch = in.number();
  tokens.length = in.number();
  tokens.index = static_cast<const std::int64_t*>(in.address());
  return tokens;
}

throughtime::Weights read_weights(Reader& in) {
  throughtime::Weights weights{};
  weights.ih = in.address();
  weights.hh = in.address();
  weights.bias_ih = in.address();
  weights.bias_hh = in.address();
  weights.hr = in.address();
  weights.peephole = in.address();
  return weights;
}

void recurrent_forward(nb::tuple shape, nb::tuple tokens, int threads, std::uintptr_t x, std::uintptr_t y,
                       nb::tuple directions) {
  throughtime::ForwardCall call{};
  call.shape = read_shape(shape, directions.size());
  call.tokens = read_tokens(tokens);
  call.threads = threads;
  call.x = reinterpret_cast<const void*>(x);
  call.y = reinterpret_cast<void*>(y);
  for (int d = 0; d < call.shape.directions; ++d) {
    Reader in(directions[static_cast<std::size_t>(d)]);
    throughtime::ForwardDirection& direction = call.direction[d];
    direction.weights = read_weights(in);
    direction.h0 = in.address();
    direction.c0 = in.address();
    direction.h_n = in.address();
    direction.c_n = in.address();
    direction.c = in.address();
    direction.gates = in.address();
    direction.context = in.address();
  }
  const nb::gil_scoped_release released;
  throughtime::recurrent_forward(call);
}

void recurrent_backward(nb::tuple shape, nb::tuple tokens, int threads, std::uintptr_t x, std::uintptr_t y,
                        std::uintptr_t dy, std::uintptr_t dx, nb::tuple directions) {
  throughtime::BackwardCall call{};
  call.shape = read_shape(shape, directions.size());
  call.tokens = read_tokens(tokens);
  call.threads = threads;
  call.x = reinterpret_cast<const void*>(x);
  call.y = reinterpret_cast<const void*>(y);
  call.dy = reinterpret_cast<const void*>(dy);
  call.dx = reinterpret_cast<void*>(dx);
  for (int d = 0; d < call.shape.directions; ++d) {
    Reader in(directions[static_cast<std::size_t>(d)]);
    throughtime::BackwardDirection& direction = call.direction[d];
    direction.weights = read_weights(in);
    direction.h0 = in.address();
    direction.c0 = in.address();
    direction.c = in.address();
    direction.gates = in.address();
    direction.dh_n = in.address();
    direction.dc_n = in.address();
    direction.dc = in.address();
    direction.dgates = in.address();
    direction.dh0 = in.address();
    direction.dc0 = in.address();
    direction.dw_ih = in.address();
    direction.dw_hh = in.address();
    direction.db_ih = in.address();
    direction.db_hh = in.address();
    direction.dw_hr = in.address();
    direction.dh_steps = in.address();
    direction.dc_steps = in.address();
    direction.dpre = in.address();
    direction.kept = in.address();
    direction.summary = in.address();
    direction.dpeephole = in.address();
    direction.dcontext = in.address();
  }
  const nb::gil_scoped_release released;
  throughtime::recurrent_backward(call);
}

// A tensor of bytes whose memory comes from the kernels' pool and returns to it.
nb::ndarray<nb::pytorch, std::uint8_t, nb::ndim<1>> pooled(std::size_t bytes) {
  struct Owned {
    void* data;
    std::size_t bytes;
  };
  Owned* const owned = new Owned{nullptr, bytes};
  owned->data = throughtime::acquire(owned->bytes);
  const nb::capsule owner(owned, [](void* given) noexcept {
    const Owned* const returned = static_cast<Owned*>(given);
    throughtime::release(returned->data, returned->bytes);
    delete returned;
  });
  return nb::ndarray<nb::pytorch, std::uint8_t, nb::ndim<1>>(owned->data, {bytes}, owner);
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const char* const* name = throughtime::instruction_sets(); *name != nullptr; ++name) {
    names.emplace_back(*name);
  }
  return names;
}

// GFLOP/s that all threads together reach with multiply-adds on registers.
double fma_limit(int threads, int milliseconds) {
  struct Work {
    int milliseconds;
    double rate[128];
  };
  Work work{milliseconds, {}};
  const nb::gil_scoped_release released;
  throughtime::parallel(
      threads > 128 ? 128 : threads,
      [](void* context, int rank, int) {
        Work& mine = *static_cast<Work*>(context);
        const auto begin = std::chrono::steady_clock::now();
        double done = 0, seconds = 0;
        while (seconds * 1e3 < mine.milliseconds) {
          done += throughtime::kernels()->multiply_adds(100000);
          seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        }
        mine.rate[rank] = done / seconds;
      },
      &work);
  double total = 0;
  for (const double rate : work.rate) total += rate;
  return total / 1e9;
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "Native kernels of throughtime. Addresses in, numbers out; not a public interface.";
  if (throughtime::kernels() == nullptr) {
    std::string known;
    for (const std::string& name : instruction_sets()) known += (known.empty() ? "" : ", ") + name;
    const std::string message = std::string("THROUGHTIME_ISA is '") + std::getenv("THROUGHTIME_ISA") +
                                "', but this processor and build have: " + known +
                                "; unset it to take the best of them";
    throw nb::import_error(message.c_str());
  }
  m.def("check_offsets", &check_offsets, nb::arg("address"), nb::arg("count"), nb::arg("total"),
        "Check int64 offsets: (fault, index, longest); fault 0 none, 1 first is not 0, "
        "2 decreasing at index, 3 last is not total (a negative total leaves the end unchecked).");
  m.def("recurrent_forward", &recurrent_forward,
        "One recurrent layer, forward. Tuples hold the fields of kernels/recurrent/recurrent.h in its order.");
  m.def("recurrent_backward", &recurrent_backward,
        "One recurrent layer, backward. Tuples hold the fields of kernels/recurrent/recurrent.h in its order.");
  throughtime::bind_conv(m);
  throughtime::bind_norm(m);
  throughtime::bind_pool(m);
  m.def("pooled", &pooled, nb::arg("bytes"),
        "A torch tensor of uint8 in memory of the kernels' pool, uninitialised.");
  m.def("instruction_set", [] { return std::string(throughtime::kernels()->name); },
        "The instruction set whose kernels are in use.");
  m.def("instruction_sets", &instruction_sets, "Those that this build has and this processor runs.");
  m.def("parallel_backend", [] { return std::string(throughtime::parallel_backend()); },
        "Where threads come from: openmp (torch's own pool) or std::thread.");
  m.def("fma_limit", &fma_limit, nb::arg("threads"), nb::arg("milliseconds"),
        "GFLOP/s of multiply-adds on registers alone, in float32.");
}
