// The operators of a program.
#pragma once

// Name, operands and numbers of the operators whose result at one column depends on that column of its operands alone.
// a, b, c are the operands, α and β the numbers.
//
//   copy       a                        maximum, minimum           NaN if one of them is
//   affine     α a + β                  where                      b if a is not 0, else c
//   add, sub   a + b, a − b             lt, le, gt, ge, eq, ne     1 where a < b …, else 0
//   mul, div   a b, a / b               lerp                       a + c (b − a)
//   neg        −a                       pow                        a to the power of α
//   fma        a b + c, rounded once    sigmoid_gradient           a b (1 − b)
//   square     a a                      tanh_gradient              a (1 − b²)
#define THROUGHTIME_POINTWISE(F) \
  F(copy, 1, 0)                  \
  F(affine, 1, 2)                \
  F(add, 2, 0)                   \
  F(sub, 2, 0)                   \
  F(mul, 2, 0)                   \
  F(div, 2, 0)                   \
  F(neg, 1, 0)                   \
  F(fma, 3, 0)                   \
  F(lerp, 3, 0)                  \
  F(maximum, 2, 0)               \
  F(minimum, 2, 0)               \
  F(where, 3, 0)                 \
  F(lt, 2, 0)                    \
  F(le, 2, 0)                    \
  F(gt, 2, 0)                    \
  F(ge, 2, 0)                    \
  F(eq, 2, 0)                    \
  F(ne, 2, 0)                    \
  F(sigmoid, 1, 0)               \
  F(tanh, 1, 0)                  \
  F(relu, 1, 0)                  \
  F(exp, 1, 0)                   \
  F(log, 1, 0)                   \
  F(log1p, 1, 0)                 \
  F(expm1, 1, 0)                 \
  F(sqrt, 1, 0)                  \
  F(rsqrt, 1, 0)                 \
  F(reciprocal, 1, 0)            \
  F(abs, 1, 0)                   \
  F(sign, 1, 0)                  \
  F(sin, 1, 0)                   \
  F(cos, 1, 0)                   \
  F(erf, 1, 0)                   \
  F(softplus, 1, 0)              \
  F(pow, 1, 1)                   \
  F(square, 1, 0)                \
  F(sigmoid_gradient, 2, 0)      \
  F(tanh_gradient, 2, 0)

// The same of the operators whose operand has another width than the result: the instruction's `index`. One of the two
// widths is a multiple of the other.
//
//   sum, max     of each of `width` groups of adjacent columns
//   sum_strided  of the columns that lie `width` apart
//   repeat       each column several times: a a a b b b
//   tile         the row several times: a b a b a b
//   inverse_deviation  1 / √(variance + α) of each of `width` groups of adjacent columns
#define THROUGHTIME_LAYOUTS(F) \
  F(sum, 1, 0)                 \
  F(max, 1, 0)                 \
  F(sum_strided, 1, 0)         \
  F(repeat, 1, 0)              \
  F(tile, 1, 0)                \
  F(inverse_deviation, 1, 1)

// Of the columns of a whole row a, and a last operand r of one column:
//
//   standardize           (a − mean of a) r
//   standardize_gradient  r (a − mean of a − b · mean of a b): the gradient of a row x, from that of its result b
#define THROUGHTIME_ROWS(F) \
  F(standardize, 2, 0)      \
  F(standardize_gradient, 3, 0)

// product: a W of a packed matrix W, added to a second operand b if there is one.
#define THROUGHTIME_OPERATORS(F) THROUGHTIME_POINTWISE(F) THROUGHTIME_LAYOUTS(F) THROUGHTIME_ROWS(F) F(product, 1, 0)
