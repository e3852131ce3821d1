// A step of one sequence with one token, as in a stream. Weights are read only once, so they are not packed:
// squares of them are transposed in registers and used immediately. Sums have the order of the packed product, so
// the bits are the same.
#pragma once

#include "kernels/recurrent/forward/plan.h"

namespace throughtime::TT_ISA {

template <class T, class Cell>
struct OneStep {
  static constexpr int L = lanes<T>;
  static constexpr bool late = staggered<Cell>;  // the last slot has a bias of its own

  static bool takes(const ForwardCall& call, const Sequences& sequences) {
    if (sizeof(T) == 4 && call.shape.options.bfloat16) return false;
    if (sequences.count != 1 || sequences.total != 1 || sequences.reset != nullptr) return false;
    for (int d = 0; d < call.shape.directions; ++d) {
      if (call.direction[d].weights.hr != nullptr || call.direction[d].context != nullptr) return false;
    }
    return true;
  }

  static void run(const ForwardCall& call, int number) {
    const ForwardDirection& d = call.direction[number];
    const std::ptrdiff_t H = call.shape.hidden, padded = round_up(H, L);
    T *pre = nullptr, *h_prev = nullptr, *h_next = nullptr, *c = nullptr;
    const auto divide = [&](Pieces& pieces) {
      pre = pieces.take<T>(padded * Cell::slots);
      h_prev = pieces.take<T>(padded);
      h_next = pieces.take<T>(padded);
      c = pieces.take<T>(padded);
    };
    const DividedScratch scratch(divide);
    begin(static_cast<const T*>(d.h0), H, padded, h_prev);
    if (d.c_n != nullptr) begin(static_cast<const T*>(d.c0), H, padded, c);
    add_bias(d.weights, H, padded, pre);
    add_product(static_cast<const T*>(d.weights.ih), static_cast<const T*>(call.x), call.shape.inputs, H, Cell::gates,
                Cell::input_gate, Cell::input_slot, pre);
    add_product(static_cast<const T*>(d.weights.hh), h_prev, H, H, Cell::recurrent, Cell::recurrent_gate,
                Cell::recurrent_slot, pre);
    const std::int64_t token = 0;
    StepForward<T> s{};
    s.hidden = H;
    s.token = &token;
    s.pre = pre;
    s.ld_pre = padded * Cell::slots;
    s.h_prev = h_prev;
    s.h_next = h_next;
    s.ld_h = s.ld_c = s.padded = padded;
    s.c = c;
    s.y = static_cast<T*>(call.y) + number * H;
    s.ld_y = call.shape.directions * H;
    s.c_out = static_cast<T*>(d.c);
    s.gates = static_cast<T*>(d.gates);
    for (std::ptrdiff_t unit = 0; unit < H; unit += L) {
      Cell::template forward<T>(s, 0, unit, H - unit < L ? static_cast<int>(H - unit) : L);
    }
    copy_columns<T>(h_next, {0, H}, static_cast<T*>(d.h_n));
    if (d.c_n != nullptr) copy_columns<T>(c, {0, H}, static_cast<T*>(d.c_n));
    finish_streams();
  }

 private:
  static void begin(const T* given, std::ptrdiff_t H, std::ptrdiff_t padded, T* state) {
    copy_columns(given, {0, H}, state);
    copy_columns<T>(nullptr, {H, padded}, state);
  }

  static void add_bias(const Weights& weights, std::ptrdiff_t H, std::ptrdiff_t padded, T* pre) {
    const T* const ih = static_cast<const T*>(weights.bias_ih);
    const T* const hh = static_cast<const T*>(weights.bias_hh);
    for (std::ptrdiff_t unit = 0; unit < padded; unit += L) {
      const int count = static_cast<int>(H - unit < L ? H - unit : L);
      for (int s = 0; s < Cell::gates; ++s) {
        const bool alone = late && s == 0;
        const std::ptrdiff_t gate = Cell::input_gate[s] * H + unit;
        T* const place = pre + unit * Cell::slots + (Cell::input_slot + s) * L;
        const Vec<T> first = ih == nullptr ? Vec<T>{} : take(ih + gate, count);
        const Vec<T> second = ih == nullptr ? Vec<T>{} : take(hh + gate, count);
        store<T>(place, alone ? first : first + second);
        if (alone) store<T>(pre + unit * Cell::slots + (Cell::slots - 1) * L, second);
      }
    }
  }

  // pre += W · x, for the gates of a matrix (·, depth) that fill slots from `slot` on.
  static void add_product(const T* weights, const T* x, std::ptrdiff_t depth, std::ptrdiff_t H, int gates,
                          const int* gate_of_slot, int slot, T* pre) {
    for (std::ptrdiff_t unit = 0; unit < H; unit += L) {
      const std::ptrdiff_t count = H - unit < L ? H - unit : L;
      for (std::ptrdiff_t k = 0; k < depth; k += L) {
        const std::ptrdiff_t factors = depth - k < L ? depth - k : L;
        for (int s = 0; s < gates; ++s) {
          const T* const from = weights + (gate_of_slot[s] * H + unit) * depth + k;
          T* const place = pre + unit * Cell::slots + (slot + s) * L;
          if (factors == L && count == L) {
            add_square(from, depth, x + k, place);
          } else {
            for (std::ptrdiff_t l = 0; l < count; ++l) add_row(from + l * depth, x + k, factors, place + l);
          }
        }
      }
    }
  }

  static void add_square(const T* from, std::ptrdiff_t ld, const T* x, T* place) {
#if defined(__AVX2__)
    if constexpr (sizeof(T) == 4) {
      for (int l = 0; l < L; l += 8) {
        __m256 sum = _mm256_loadu_ps(place + l);
        for (int k = 0; k < L; k += 8) sum = eight_by_eight(from + l * ld + k, ld, x + k, sum);
        _mm256_storeu_ps(place + l, sum);
      }
      return;
    }
#endif
    Vec<T> columns[L];
    transposed_square(from, ld, columns);
    Vec<T> sum = load(place);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) sum = fma<T>(broadcast(x[i]), columns[i], sum);
    store<T>(place, sum);
  }

#if defined(__AVX2__)
  // Half a transposition is done by loads here, and half vectors are exchanged two at a time: a step of a GRU of 64 units
  // takes 2.2 us, with whole squares of AVX-512 2.5.
  static __m256 eight_by_eight(const float* from, std::ptrdiff_t ld, const float* x, __m256 sum) {
    for (int k = 0; k < 8; k += 4) {
      __m256 rows[4];
#pragma GCC unroll 4
      for (int l = 0; l < 4; ++l) {
        rows[l] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + l * ld + k)),
                                       _mm_loadu_ps(from + (l + 4) * ld + k), 1);
      }
      const __m256 low = _mm256_unpacklo_ps(rows[0], rows[1]), high = _mm256_unpackhi_ps(rows[0], rows[1]);
      const __m256 low2 = _mm256_unpacklo_ps(rows[2], rows[3]), high2 = _mm256_unpackhi_ps(rows[2], rows[3]);
      sum = _mm256_fmadd_ps(_mm256_broadcast_ss(x + k), _mm256_shuffle_ps(low, low2, 0x44), sum);
      sum = _mm256_fmadd_ps(_mm256_broadcast_ss(x + k + 1), _mm256_shuffle_ps(low, low2, 0xee), sum);
      sum = _mm256_fmadd_ps(_mm256_broadcast_ss(x + k + 2), _mm256_shuffle_ps(high, high2, 0x44), sum);
      sum = _mm256_fmadd_ps(_mm256_broadcast_ss(x + k + 3), _mm256_shuffle_ps(high, high2, 0xee), sum);
    }
    return sum;
  }
#endif

  // The same for one output, in a lane of its own.
  static void add_row(const T* from, const T* x, std::ptrdiff_t factors, T* place) {
    Vec<T> sum = broadcast(*place);
    for (std::ptrdiff_t i = 0; i < factors; ++i) sum = fma<T>(broadcast(x[i]), broadcast(from[i]), sum);
    *place = sum[0];
  }
};

}  // namespace throughtime::TT_ISA
