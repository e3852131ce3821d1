// Diagonal linear recurrences over the sequences of a ragged batch, and their gradient.
//
//   h[t] = a[t] ⊙ h[t − 1] + b[t],   h[−1] = h0 of the sequence
//
// With `from_end`, each sequence is read from its end: h[t + 1] takes the place of h[t − 1]. The coefficients are
// given, or are gates of pre-activations u (T, blocks · D), whose blocks stand side by side in each row; φ is the
// candidate's activation:
//
//   given       a, b
//   forget      u = [f, c]      a = σ(f),                  b = (1 − a) φ(c)
//   update      u = [z, c]      a = 1 − σ(z),              b = σ(z) φ(c)
//   separate    u = [f, i, c]   a = σ(f),                  b = σ(i) φ(c)
//   normalized  u = [f, i, c]   a = σ(f) / (σ(f) + σ(i)),  b = (1 − a) φ(c)
//
// Letters: B sequences, T tokens, D features. All matrices are row-major. Every buffer is the caller's: the callee
// keeps no address. No two overlap. Results have the same bits for a sequence alone and in any batch, and on any
// number of threads.
#pragma once

#include <cstdint>

namespace throughtime {

enum class ScanGates { given, forget, update, separate, normalized };

// φ: x; tanh x; x + 1/2 for x ≥ 0, σ(x) below.
enum class ScanCandidate { identity, tanh, positive };

// Blocks of u.
constexpr int scan_blocks(ScanGates gates) {
  return gates == ScanGates::separate || gates == ScanGates::normalized ? 3 : 2;
}

struct ScanShape {
  bool is_double;         // else float: T below
  bool from_end;
  ScanGates gates;
  ScanCandidate candidate;
  std::int64_t features;  // D
};

struct ScanBatch {
  std::int64_t sequences;       // B
  const std::int64_t* offsets;  // B + 1: where the tokens begin and end, 0 first, T last
};

struct ScanForward {
  ScanShape shape;
  ScanBatch batch;
  int threads;     // at most so many
  const void* a;   // (T, D), or u of gates
  const void* b;   // (T, D); null with gates
  const void* h0;  // (B, D); null: zeros
  void* h;         // (T, D)
  void* last;      // (B, D): h after each sequence's last step, h0 of an empty one
};

struct ScanBackward {
  ScanShape shape;
  ScanBatch batch;
  int threads;
  const void* a;      // (T, D), or u of gates
  const void* h0;     // (B, D) or null
  const void* h;      // (T, D)
  const void* dh;     // (T, D); null: zeros
  const void* dlast;  // (B, D); null: zeros
  void* da;           // (T, D), or du of gates; null: not wanted
  void* db;           // (T, D); null with gates, or not wanted
  void* dh0;          // (B, D)
};

// The output of a recurrence through a gate of its own, for all tokens at once: y = σ(g) ⊙ h, or with a second way in,
// the highway y = σ(g) ⊙ h + (1 − σ(g)) ⊙ s. u is [g] or [g, s], side by side in each row.
struct OutputShape {
  bool is_double;
  int threads;            // at most so many
  int blocks;             // of u: 1 or 2
  std::int64_t tokens;    // T
  std::int64_t features;  // D
};

struct GatedOutput {
  OutputShape shape;
  const void* u;     // (T, blocks · D)
  const void* h;     // (T, D)
  const void* skip;  // (T, D), s where u has one block; null: no highway
  void* y;           // (T, D)
};

struct GatedOutputBackward {
  OutputShape shape;
  const void* u;
  const void* h;
  const void* skip;
  const void* dy;  // (T, D)
  void* du;        // (T, blocks · D)
  void* dh;        // (T, D)
  void* dskip;     // (T, D); null: not wanted
};

void scan_forward(const ScanForward& call);
void scan_backward(const ScanBackward& call);
void gated_output(const GatedOutput& call);
void gated_output_backward(const GatedOutputBackward& call);

}  // namespace throughtime
