// The passes of a scan: h forward, and the gradients of a and b, or of the gates, in the opposite order.
#pragma once

#include "kernels/scan/blocks.h"

namespace throughtime::TT_ISA {

// The carry is h.
template <class T, class Source>
struct ForwardPass {
  Source source;
  T* h;

  template <class Tile>
  Coefficients<T> summary(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i) const {
    return source.of(t, c, tile, i);
  }
  template <class Tile>
  Vec<T> next(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i, Vec<T> carry) const {
    const Coefficients<T> step = source.of(t, c, tile, i);
    return fma<T>(step.a, carry, step.b);
  }
  template <class Tile>
  Vec<T> step(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i, Vec<T> carry, const T*) const {
    const Vec<T> after = next(t, c, tile, i, carry);
    put(tile, h + t * source.features + c, i, after, source.far);
    return after;
  }
  const T* before(std::int64_t, std::int64_t) const { return nullptr; }
};

// The carry is the gradient of the h before a step, as far as it comes through that step: a ⊙ (dh + carry).
template <class T, class Source>
struct BackwardPass {
  Source source;
  const T *h, *h0, *dh;
  const std::int64_t* offsets;
  bool from_end;  // of the forward pass

  template <class Tile>
  Vec<T> own(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i) const {
    return dh == nullptr ? Vec<T>{} : tile.load(dh + t * source.features + c, i);
  }
  template <class Tile>
  Coefficients<T> summary(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i) const {
    const Vec<T> a = source.factor(t, c, tile, i);
    return {a, a * own(t, c, tile, i)};
  }
  template <class Tile>
  Vec<T> next(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i, Vec<T> carry) const {
    return source.factor(t, c, tile, i) * (own(t, c, tile, i) + carry);
  }
  template <class Tile>
  Vec<T> step(std::int64_t t, std::ptrdiff_t c, const Tile& tile, int i, Vec<T> carry, const T* before) const {
    const Vec<T> g = own(t, c, tile, i) + carry;
    return source.gradient(t, c, tile, i, g, before == nullptr ? Vec<T>{} : tile.load(before, i)) * g;
  }
  const T* before(std::int64_t t, std::int64_t sequence) const {
    const bool first = t == (from_end ? offsets[sequence + 1] - 1 : offsets[sequence]);
    if (!first) return h + (from_end ? t + 1 : t - 1) * source.features;
    return h0 == nullptr ? nullptr : h0 + sequence * source.features;
  }
};

template <class T, class Source>
void forward_through(const ScanForward& call, const Source& source) {
  const ForwardPass<T, Source> pass{source, static_cast<T*>(call.h)};
  Scan<T, ForwardPass<T, Source>>(pass, call.batch, call.shape.features, call.shape.from_end, call.threads,
                                  static_cast<const T*>(call.h0), static_cast<T*>(call.last))
      .run();
}

template <class T, class Source>
void backward_through(const ScanBackward& call, const Source& source) {
  const BackwardPass<T, Source> pass{source,
                                     static_cast<const T*>(call.h),
                                     static_cast<const T*>(call.h0),
                                     static_cast<const T*>(call.dh),
                                     call.batch.offsets,
                                     call.shape.from_end};
  Scan<T, BackwardPass<T, Source>>(pass, call.batch, call.shape.features, !call.shape.from_end, call.threads,
                                   static_cast<const T*>(call.dlast), static_cast<T*>(call.dh0))
      .run();
}

// Calls body(source) with the kind of coefficients of a call.
template <class T, class Body>
void with_source(const ScanShape& shape, const ScanBatch& batch, const void* a, const void* b, void* da, void* db, const Body& body) {
  const T* const u = static_cast<const T*>(a);
  T* const du = static_cast<T*>(da);
  const std::ptrdiff_t D = shape.features;
  const bool far = batch.offsets[batch.sequences] * D * static_cast<std::int64_t>(sizeof(T)) > far_bytes;
  switch (shape.gates) {
    case ScanGates::given: return body(Given<T>{u, static_cast<const T*>(b), du, static_cast<T*>(db), D, far});
    case ScanGates::forget: return body(Gated<T, ScanGates::forget>{u, du, D, far, shape.candidate});
    case ScanGates::update: return body(Gated<T, ScanGates::update>{u, du, D, far, shape.candidate});
    case ScanGates::separate: return body(Gated<T, ScanGates::separate>{u, du, D, far, shape.candidate});
    case ScanGates::normalized: return body(Gated<T, ScanGates::normalized>{u, du, D, far, shape.candidate});
  }
}

template <class T>
void scan_forward_of(const ScanForward& call) {
  with_source<T>(call.shape, call.batch, call.a, call.b, nullptr, nullptr,
                 [&](const auto& source) { forward_through<T>(call, source); });
}

template <class T>
void scan_backward_of(const ScanBackward& call) {
  with_source<T>(call.shape, call.batch, call.a, nullptr, call.da, call.db,
                 [&](const auto& source) { backward_through<T>(call, source); });
}

}  // namespace throughtime::TT_ISA
