// The operators whose results at one column depend on that column alone: one struct each, which maps vectors of the
// operands to a vector of the result.
#pragma once

#include "kernels/program/functions.h"

namespace throughtime::TT_ISA::program {

// An operator without numbers of its own.
#define THROUGHTIME_UNARY(name, expression)                   \
  template <class T>                                          \
  struct name {                                               \
    static constexpr int operands = 1;                        \
    explicit name(const T*) {}                                \
    Vec<T> operator()(Vec<T> a) const { return expression; }  \
  };
#define THROUGHTIME_BINARY(name, expression)                            \
  template <class T>                                                    \
  struct name {                                                         \
    static constexpr int operands = 2;                                  \
    explicit name(const T*) {}                                          \
    Vec<T> operator()(Vec<T> a, Vec<T> b) const { return expression; }  \
  };
#define THROUGHTIME_TERNARY(name, expression)                                     \
  template <class T>                                                              \
  struct name {                                                                   \
    static constexpr int operands = 3;                                            \
    explicit name(const T*) {}                                                    \
    Vec<T> operator()(Vec<T> a, Vec<T> b, Vec<T> c) const { return expression; }  \
  };

namespace operators {

template <class T>
inline Vec<T> one_where(IntVec<T> condition) {
  return (Vec<T>)(condition & (IntVec<T>)broadcast(T(1)));
}

THROUGHTIME_UNARY(copy, a)
THROUGHTIME_UNARY(neg, -a)
THROUGHTIME_UNARY(square, a* a)
THROUGHTIME_UNARY(sigmoid, TT_ISA::sigmoid<T>(a))
THROUGHTIME_UNARY(tanh, TT_ISA::tanh<T>(a))
THROUGHTIME_UNARY(relu, TT_ISA::relu<T>(a))
THROUGHTIME_UNARY(exp, exp_of(a))
THROUGHTIME_UNARY(log, log_of<T>(a))
THROUGHTIME_UNARY(log1p, log1p_of<T>(a))
THROUGHTIME_UNARY(expm1, expm1_of<T>(a))
THROUGHTIME_UNARY(sqrt, sqrt_of<T>(a))
THROUGHTIME_UNARY(rsqrt, broadcast(T(1)) / sqrt_of<T>(a))
THROUGHTIME_UNARY(reciprocal, broadcast(T(1)) / a)
THROUGHTIME_UNARY(abs, absolute_of<T>(a))
THROUGHTIME_UNARY(sign, one_where<T>(a > Vec<T>{}) - one_where<T>(a < Vec<T>{}))
THROUGHTIME_UNARY(sin, sin_of<T>(a))
THROUGHTIME_UNARY(cos, cos_of<T>(a))
THROUGHTIME_UNARY(erf, erf_of<T>(a))
THROUGHTIME_UNARY(softplus, softplus_of<T>(a))

THROUGHTIME_BINARY(add, a + b)
THROUGHTIME_BINARY(sub, a - b)
THROUGHTIME_BINARY(mul, a* b)
THROUGHTIME_BINARY(div, a / b)
THROUGHTIME_BINARY(maximum, (a > b) | (a != a) ? a : b)
THROUGHTIME_BINARY(minimum, (a < b) | (a != a) ? a : b)
THROUGHTIME_BINARY(lt, one_where<T>(a < b))
THROUGHTIME_BINARY(le, one_where<T>(a <= b))
THROUGHTIME_BINARY(gt, one_where<T>(a > b))
THROUGHTIME_BINARY(ge, one_where<T>(a >= b))
THROUGHTIME_BINARY(eq, one_where<T>(a == b))
THROUGHTIME_BINARY(ne, one_where<T>(a != b))
THROUGHTIME_BINARY(sigmoid_gradient, a*(b*(broadcast(T(1)) - b)))
THROUGHTIME_BINARY(tanh_gradient, a*(broadcast(T(1)) - b * b))

THROUGHTIME_TERNARY(fma, TT_ISA::fma<T>(a, b, c))
THROUGHTIME_TERNARY(lerp, TT_ISA::fma<T>(c, b - a, a))
THROUGHTIME_TERNARY(where, a != Vec<T>{} ? b : c)

template <class T>
struct affine {
  static constexpr int operands = 1;
  Vec<T> alpha, beta;
  explicit affine(const T* numbers) : alpha(broadcast(numbers[0])), beta(broadcast(numbers[1])) {}
  Vec<T> operator()(Vec<T> a) const { return TT_ISA::fma<T>(alpha, a, beta); }
};

template <class T>
struct pow {
  static constexpr int operands = 1;
  T exponent;
  explicit pow(const T* numbers) : exponent(numbers[0]) {}
  Vec<T> operator()(Vec<T> a) const {
    if (exponent == T(2)) return a * a;
    if (exponent == T(3)) return a * a * a;
    if (exponent == T(-1)) return broadcast(T(1)) / a;
    if (exponent == T(0.5)) return sqrt_of<T>(a);  // as torch has it, of −0 and −∞ too
    if (exponent == T(-0.5)) return broadcast(T(1)) / sqrt_of<T>(a);
    return pow_of<T>(a, exponent);
  }
};

}  // namespace operators

#undef THROUGHTIME_UNARY
#undef THROUGHTIME_BINARY
#undef THROUGHTIME_TERNARY

}  // namespace throughtime::TT_ISA::program
