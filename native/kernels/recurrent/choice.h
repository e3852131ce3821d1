// An activation that is chosen at run time, for the general cells: its value, and its slope as a function of
// that value, so that the backward pass needs only what the forward pass stores.
//
//   affine            α x + β
//   elu               x, below 0 α (exp(x) − 1); α > 0
//   hard_sigmoid      α x + β, bounded by 0 and 1
//   leaky_relu        x, below 0 α x; α >= 0
//   relu              max(x, 0)
//   scaled_tanh       α tanh(β x)
//   sigmoid           1 / (1 + exp(−x))
//   softplus          log(1 + exp(x))
//   softsign          x / (1 + |x|)
//   tanh
//   thresholded_relu  x, up to α 0; α >= 0
#pragma once

#include <math.h>

#include "kernels/activations.h"
#include "kernels/recurrent/recurrent.h"

namespace throughtime::TT_ISA {

template <class T>
struct Choice {
  Activation kind;
  T alpha, beta;
  T clip;       // bound on x
  bool clips;
  T low, high;  // the values at the bounds
};

template <class T>
inline Vec<T> absolute(Vec<T> x) {
  return x < Vec<T>{} ? -x : x;
}

// exp(x) − 1 for x <= 0.
template <class T>
inline Vec<T> exp_minus_one(Vec<T> x) {
  const ExpParts<T> e = exp_parts(at_least<T>(x, -exp_bound<T>));
  return fma<T>(e.scale, e.minus_one, e.scale - broadcast(T(1)));
}

// log(1 + exp(x)), lane by lane: nobody is in a hurry for it.
template <class T>
inline Vec<T> softplus(Vec<T> x) {
  Vec<T> y;
  for (int l = 0; l < lanes<T>; ++l) {
    const double v = static_cast<double>(x[l]);
    y[l] = static_cast<T>(v > 0 ? v + ::log1p(::exp(-v)) : ::log1p(::exp(v)));
  }
  return y;
}

template <class T>
inline Vec<T> unbounded_value(const Choice<T>& a, Vec<T> x) {
  const Vec<T> zero{}, one = broadcast(T(1));
  switch (a.kind) {
    case Activation::affine: return fma<T>(broadcast(a.alpha), x, broadcast(a.beta));
    case Activation::elu: return x < zero ? broadcast(a.alpha) * exp_minus_one<T>(at_most<T>(x, T(0))) : x;
    case Activation::hard_sigmoid:
      return at_most<T>(at_least<T>(fma<T>(broadcast(a.alpha), x, broadcast(a.beta)), T(0)), T(1));
    case Activation::leaky_relu: return x < zero ? broadcast(a.alpha) * x : x;
    case Activation::relu: return relu<T>(x);
    case Activation::scaled_tanh: return broadcast(a.alpha) * tanh<T>(broadcast(a.beta) * x);
    case Activation::sigmoid: return sigmoid<T>(x);
    case Activation::softplus: return softplus<T>(x);
    case Activation::softsign: return x / (one + absolute<T>(x));
    case Activation::tanh: return tanh<T>(x);
    case Activation::thresholded_relu: return x <= broadcast(a.alpha) ? zero : x;
  }
  return x;
}

template <class T>
inline Vec<T> value(const Choice<T>& a, Vec<T> x) {
  return unbounded_value<T>(a, a.clips ? at_most<T>(at_least<T>(x, -a.clip), a.clip) : x);
}

// The slope where the value is y. At a bound it is zero.
template <class T>
inline Vec<T> slope(const Choice<T>& a, Vec<T> y) {
  const Vec<T> zero{}, one = broadcast(T(1)), alpha = broadcast(a.alpha);
  Vec<T> s = one;
  switch (a.kind) {
    case Activation::affine: s = alpha; break;
    case Activation::elu: s = y <= zero ? y + alpha : one; break;
    case Activation::hard_sigmoid: s = y <= zero ? zero : y >= one ? zero : alpha; break;
    case Activation::leaky_relu: s = y <= zero ? alpha : one; break;
    // As in torch: the lower slope where x is 0, the upper one where it is NaN.
    case Activation::relu: s = y <= zero ? zero : one; break;
    case Activation::scaled_tanh: {
      const Vec<T> inner = y / alpha;
      s = alpha * broadcast(a.beta) * (one - inner * inner);
      break;
    }
    case Activation::sigmoid: s = y * (one - y); break;
    case Activation::softplus: s = -exp_minus_one<T>(-y); break;
    case Activation::softsign: {
      const Vec<T> left = one - absolute<T>(y);
      s = left * left;
      break;
    }
    case Activation::tanh: s = one - y * y; break;
    case Activation::thresholded_relu: s = y <= zero ? zero : one; break;
  }
  if (!a.clips) return s;
  return y == broadcast(a.low) ? zero : y == broadcast(a.high) ? zero : s;
}

// What a general cell reads, in the type of the computation.
template <class T>
struct Choices {
  Choice<T> activation[3];
  T cell_clip;
  bool clips_cell;
  bool update_new;
  double epsilon;
};

template <class T>
inline Choices<T> choices_of(const Options& options) {
  Choices<T> found{};
  for (int i = 0; i < 3; ++i) {
    Choice<T>& a = found.activation[i];
    a.kind = options.activation[i];
    a.alpha = static_cast<T>(options.alpha[i]);
    a.beta = static_cast<T>(options.beta[i]);
    a.clip = static_cast<T>(options.clip);
    // An LSTM's third activation is that of c, which has a bound of its own.
    a.clips = i < 2 && options.clip < HUGE_VAL;
    a.low = unbounded_value<T>(a, broadcast(-a.clip))[0];
    a.high = unbounded_value<T>(a, broadcast(a.clip))[0];
  }
  found.cell_clip = static_cast<T>(options.cell_clip);
  found.clips_cell = options.cell_clip < HUGE_VAL;
  found.update_new = options.update_new;
  found.epsilon = options.epsilon;
  return found;
}

}  // namespace throughtime::TT_ISA
