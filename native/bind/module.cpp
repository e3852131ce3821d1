// The Python module throughtime._native. Arguments and results are tensors; tensors.h inspects one in some tens of
// nanoseconds (an nb::ndarray argument takes 2.5 us).
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "bind/batch.h"
#include "bind/cell.h"
#include "bind/conv.h"
#include "bind/crf.h"
#include "bind/dropout.h"
#include "bind/embedding.h"
#include "bind/layer.h"
#include "bind/norm.h"
#include "bind/pool.h"
#include "bind/program.h"
#include "bind/quantized.h"
#include "bind/rocket.h"
#include "bind/scan.h"
#include "bind/stack.h"
#include "bind/tensors.h"
#include "kernels/offsets.h"
#include "kernels/parallel.h"
#include "kernels/recurrent/kernels.h"

namespace nb = nanobind;

namespace {

std::tuple<int, std::int64_t, std::int64_t> check_offsets(std::uintptr_t address, std::int64_t count,
                                                          std::int64_t total) {
  const auto result = throughtime::check_offsets(
      reinterpret_cast<const std::int64_t*>(address), count, total);
  return {static_cast<int>(result.fault), result.index, result.longest};
}

nb::object empty(bool is_double, std::int64_t count) {
  void* place = nullptr;
  return throughtime::make_tensor(is_double, &count, 1, place);
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
  nb::set_leak_warnings(false);  // layers may live as long as the process, in whatever cache their owner has
  throughtime::find_torch();
  m.doc() = "Native kernels of throughtime, on tensors; not a public interface.";
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
  throughtime::bind_cell(m);
  throughtime::bind_stack(m);
  throughtime::bind_layer(m);
  throughtime::bind_batch(m);
  throughtime::bind_conv(m);
  throughtime::bind_crf(m);
  throughtime::bind_dropout(m);
  throughtime::bind_embedding(m);
  throughtime::bind_norm(m);
  throughtime::bind_pool(m);
  throughtime::bind_program(m);
  throughtime::bind_quantized(m);
  throughtime::bind_rocket(m);
  throughtime::bind_scan(m);
  m.def("empty", &empty, nb::arg("is_double"), nb::arg("count"), "So many numbers, uninitialised, as a tensor.");
  m.def("instruction_set", [] { return std::string(throughtime::kernels()->name); },
        "The instruction set whose kernels are in use.");
  m.def("instruction_sets", &instruction_sets, "Those that this build has and this processor runs.");
  m.def("parallel_backend", [] { return std::string(throughtime::parallel_backend()); },
        "Where threads come from: openmp (torch's own pool) or std::thread.");
  m.def("fma_limit", &fma_limit, nb::arg("threads"), nb::arg("milliseconds"),
        "GFLOP/s of multiply-adds on registers alone, in float32.");
}
