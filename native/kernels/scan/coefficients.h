// The coefficients a and b of a step, given or of gates, and their gradient.
//
// Each kind has `of(t, c, tile, i)`, the coefficients of vector i of a tile at feature c of token t, and
// `gradient(t, c, tile, i, g, before)`, which stores the gradients of what they are computed from and returns a: g is
// the gradient of b, and g ⊙ before that of a.
#pragma once

#include "kernels/activations.h"
#include "kernels/feature_tile.h"
#include "kernels/scan/scan.h"

namespace throughtime::TT_ISA {

template <class T>
struct Coefficients {
  Vec<T> a, b;
};

// Stores vector i of a tile, past the caches if it is `far` from being read again.
template <class T, class Tile>
inline void put(const Tile& tile, T* p, int i, Vec<T> x, bool far) {
  if constexpr (Tile::whole) {
    if (far) {
      stream(p + i * lanes<T>, x);
      return;
    }
  }
  tile.store(p, i, x);
}

// Results of so many bytes leave no room in a cache for what is read meanwhile.
inline constexpr std::int64_t far_bytes = std::int64_t{4} << 20;

template <class T>
struct Given {
  const T *a, *b;
  T *da, *db;
  std::ptrdiff_t features;
  bool far;

  template <class Tile>
  Vec<T> factor(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i) const {
    return tile.load(a + t * features + c, i);
  }
  template <class Tile>
  Coefficients<T> of(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i) const {
    return {factor(t, c, tile, i), tile.load(b + t * features + c, i)};
  }
  template <class Tile>
  Vec<T> gradient(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i, Vec<T> g, Vec<T> before) const {
    if (da != nullptr) put(tile, da + t * features + c, i, g * before, far);
    if (db != nullptr) put(tile, db + t * features + c, i, g, far);
    return factor(t, c, tile, i);
  }
};

// φ(x) and its derivative.
template <class T>
struct Candidate {
  Vec<T> value, slope;
};

template <class T>
inline Candidate<T> candidate_of(ScanCandidate kind, Vec<T> x) {
  if (kind == ScanCandidate::identity) return {x, broadcast(T(1))};
  if (kind == ScanCandidate::tanh) {
    const Vec<T> y = tanh<T>(x);
    return {y, T(1) - y * y};
  }
  const Vec<T> y = sigmoid<T>(x);
  const IntVec<T> negative = x < T(0);
  return {negative ? y : x + T(0.5), negative ? y * (T(1) - y) : broadcast(T(1))};
}

// exp of what is at most 0.
template <class T>
inline Vec<T> exp_of_negative(Vec<T> x) {
  const ExpParts<T> parts = exp_parts(at_least<T>(x, -exp_bound<T>));
  return fma<T>(parts.scale, parts.minus_one, parts.scale);
}

template <class T, ScanGates gates>
struct Gated {
  const T* u;
  T* du;
  std::ptrdiff_t features;
  bool far;
  ScanCandidate candidate;
  static constexpr int blocks = scan_blocks(gates);

  // The factor a, the share of the candidate in b, and what the gradient needs.
  struct Gate {
    Vec<T> keep, take;
    Vec<T> keep_slope, take_slope;  // of separate gates σ', of normalized ones 1 − σ; else of keep, and unused
  };

  template <bool with_slopes, class Tile>
  Gate gate_of(const T* row, const Tile& tile, int i) const {
    const Vec<T> first = tile.load(row, i);
    if constexpr (gates == ScanGates::forget) {
      const Vec<T> f = sigmoid<T>(first);
      return {f, T(1) - f, f * (T(1) - f), Vec<T>{}};
    } else if constexpr (gates == ScanGates::update) {
      const Vec<T> z = sigmoid<T>(first);
      return {T(1) - z, z, z * (z - T(1)), Vec<T>{}};
    } else if constexpr (gates == ScanGates::separate) {
      const Vec<T> f = sigmoid<T>(first), in = sigmoid<T>(tile.load(row + features, i));
      return {f, in, f * (T(1) - f), in * (T(1) - in)};
    } else {
      // σ(f) / (σ(f) + σ(i)) = (1 + exp(−i)) / (2 + exp(−f) + exp(−i)), all times exp(−m): nothing overflows, and
      // the denominator is at least 1.
      const Vec<T> f = first, in = tile.load(row + features, i);
      const Vec<T> less = f < in ? f : in, m = less < T(0) ? -less : Vec<T>{};
      const Vec<T> one = exp_of_negative<T>(-m), of_f = exp_of_negative<T>(-f - m), of_i = exp_of_negative<T>(-in - m);
      const Vec<T> whole = one + of_f + one + of_i;
      const Vec<T> keep = (one + of_i) / whole, take = (one + of_f) / whole;
      if constexpr (!with_slopes) return {keep, take, Vec<T>{}, Vec<T>{}};
      // d log σ(x) / dx = σ(−x); a = σ(log σ(f) − log σ(i)).
      const Vec<T> both = keep * take;
      return {keep, take, both * sigmoid<T>(-f), -both * sigmoid<T>(-in)};
    }
  }

  template <class Tile>
  Vec<T> factor(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i) const {
    return gate_of<false>(u + t * blocks * features + c, tile, i).keep;
  }
  template <class Tile>
  Coefficients<T> of(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i) const {
    const T* const row = u + t * blocks * features + c;
    const Gate gate = gate_of<false>(row, tile, i);
    const Vec<T> value = candidate_of<T>(candidate, tile.load(row + (blocks - 1) * features, i)).value;
    return {gate.keep, gate.take * value};
  }
  template <class Tile>
  Vec<T> gradient(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i, Vec<T> g, Vec<T> before) const {
    if (du == nullptr) return factor(t, c, tile, i);
    const std::ptrdiff_t at = t * blocks * features + c;
    const Gate gate = gate_of<true>(u + at, tile, i);
    const Candidate<T> phi = candidate_of<T>(candidate, tile.load(u + at + (blocks - 1) * features, i));
    if constexpr (gates == ScanGates::separate) {
      put(tile, du + at, i, g * before * gate.keep_slope, far);
      put(tile, du + at + features, i, g * phi.value * gate.take_slope, far);
    } else {
      const Vec<T> of_keep = g * (before - phi.value);
      put(tile, du + at, i, of_keep * gate.keep_slope, far);
      if constexpr (gates == ScanGates::normalized) {
        put(tile, du + at + features, i, of_keep * gate.take_slope, far);
      }
    }
    put(tile, du + at + (blocks - 1) * features, i, g * gate.take * phi.slope, far);
    return gate.keep;
  }
};

}  // namespace throughtime::TT_ISA
