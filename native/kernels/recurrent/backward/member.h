// One thread of a backward call.
#pragma once

#include "kernels/recurrent/backward/plan.h"

namespace throughtime::TT_ISA {

template <class T>
struct BackwardMember {
  const BackwardPlan<T>* plan;
  int number, team;
  Grid grid;
  int group, unit;     // which thread of which group; a group beyond the grid only helps with the products
  Share share;         // the group's sequences
  std::int64_t first;  // of its rows in dh, dc, …
  Range state_own;     // its panels of W_hh
  Range hidden_own;    // its panels of the second product's weights
  Barrier* barrier;    // of the group

  bool steps() const { return group < grid.groups; }

  // Its columns of the units' rows, and of h.
  Range unit_columns() const {
    return plan->projects ? columns_of(plan->hidden_panels, hidden_own) : state_columns();
  }
  Range state_columns() const { return columns_of(plan->state_panels, state_own); }
};

}  // namespace throughtime::TT_ISA
