// The function table of the instruction set in use, for kernels that are compiled once for each instruction set.
//
//   THROUGHTIME_DECLARE_TABLES(Table, function)   in namespace throughtime: `const Table& function()` of each set
//   THROUGHTIME_CHOSEN_TABLE(Table, function)     defines `const Table& chosen()`, that of the set in use
#pragma once

#include <cstring>

#include "kernels/instruction_sets.h"
#include "kernels/recurrent/kernels.h"

#define THROUGHTIME_DECLARE_TABLE(isa, Table, function) \
  namespace isa {                                       \
  const Table& function();                              \
  }
#define THROUGHTIME_DECLARE_TABLES(Table, function) THROUGHTIME_EACH_SET(THROUGHTIME_DECLARE_TABLE, Table, function)

#define THROUGHTIME_FIND_TABLE(isa, Table, function) \
  if (std::strcmp(name, #isa) == 0) return &isa::function();
#define THROUGHTIME_CHOSEN_TABLE(Table, function)                       \
  const Table& chosen() {                                               \
    static const Table* const found = [](const char* name) -> const Table* { \
      THROUGHTIME_EACH_SET(THROUGHTIME_FIND_TABLE, Table, function)     \
      return nullptr;                                                   \
    }(kernels()->name);                                                 \
    return *found;                                                      \
  }
