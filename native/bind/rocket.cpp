#include "bind/rocket.h"

#include <string>
#include <vector>

#include "bind/batch.h"
#include "bind/tensors.h"
#include "kernels/rocket/rocket.h"

namespace nb = nanobind;

namespace throughtime {
namespace {

// Steps and dilations below this number have sums and products that fit everywhere.
constexpr std::int64_t most = std::int64_t{1} << 28;

// Dilations, and where the biases of each begin.
struct Dilations {
  std::vector<std::int64_t> dilation, first{0};
};

// Groups the dilations of `count` biases, which do not decrease.
Dilations grouped(const std::int64_t* dilation, std::int64_t count) {
  Dilations groups;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t before = i == 0 ? 1 : dilation[i - 1];
    if (dilation[i] < before || dilation[i] >= most) {
      shape_error("dilations of MiniRocket begin at 1 and do not decrease, got " + std::to_string(dilation[i]) +
                  " after " + std::to_string(before));
    }
    if (i == 0 || dilation[i] != before) {
      groups.dilation.push_back(dilation[i]);
      groups.first.push_back(i);
    }
    groups.first.back() = i + 1;
  }
  return groups;
}

void check_channels(const Plain& read, std::int64_t channels) {
  const std::int64_t* const channel = static_cast<const std::int64_t*>(read.data);
  for (std::int64_t i = 0; i < read.count(); ++i) {
    if (channel[i] < (i % read.size[2] == 0 ? 0 : -1) || channel[i] >= channels) {
      shape_error("a kernel of MiniRocket reads channel " + std::to_string(channel[i]) + " of " +
                  std::to_string(channels) + "; channels are 0 to " + std::to_string(channels - 1) + ", then -1");
    }
  }
}

void check_steps(const Plain& offsets) {
  const std::int64_t* const bound = static_cast<const std::int64_t*>(offsets.data);
  for (std::int64_t b = 0; b + 1 < offsets.size[0]; ++b) {
    if (bound[b + 1] - bound[b] >= most) {
      shape_error("MiniRocket reads series of fewer than 2^28 steps, got " + std::to_string(bound[b + 1] - bound[b]));
    }
  }
}

// Sizes, and numbers that become addresses. `dilations` has one row for the series, and perhaps one for their
// differences.
void check(const Plain& x, const Plain& dilations, const Plain& biases, const Plain& read) {
  if (x.is_integer || x.is_double || x.sizes != 2 || x.size[1] < 1) {
    shape_error("MiniRocket reads float32 series (T, C) of at least one channel, got " + shown(x));
  }
  const bool fits = dilations.is_integer && dilations.sizes == 2 && dilations.size[0] >= 1 && dilations.size[0] <= 2;
  if (!fits) shape_error("dilations of MiniRocket are int64 (R, S) with R = 1 or 2, got " + shown(dilations));
  const std::int64_t rows = dilations.size[0];
  if (biases.is_integer || biases.is_double || !biases.is({rows, rocket_kernels * dilations.size[1]})) {
    shape_error("biases of MiniRocket are float32 (R, 84 S) where dilations are " + shown(dilations) + ", got " +
                shown(biases));
  }
  if (!read.is_integer || read.sizes != 3 || read.size[0] != rows || read.size[2] < 1) {
    shape_error("channels of MiniRocket are int64 (R, 84 G, M) where dilations are " + shown(dilations) + ", got " +
                shown(read));
  }
  check_channels(read, x.size[1]);
}

nb::object features(nb::handle x, nb::handle offsets, nb::handle dilations, nb::handle biases, nb::handle channels,
                    bool all_statistics, int threads, bool in_order) {
  Plain series{}, bounds{}, of_biases{}, bias{}, read{};
  const LookAt look = look_at(in_order);
  if (!look(x, series) || !look(dilations, of_biases) || !look(biases, bias) || !look(channels, read)) {
    return unusual(in_order);
  }
  check(series, of_biases, bias, read);
  if (!read_offsets(in_order, offsets, series.size[0], bounds)) return unusual(in_order);
  check_steps(bounds);
  const std::int64_t rows = of_biases.size[0], count = of_biases.size[1], sequences = bounds.size[0] - 1;
  const std::int64_t columns = rocket_kernels * count * (all_statistics ? rocket_statistics : 1);
  std::vector<Dilations> groups;
  for (std::int64_t r = 0; r < rows; ++r) {
    groups.push_back(grouped(static_cast<const std::int64_t*>(of_biases.data) + r * count, count));
    if (read.size[1] < rocket_kernels * static_cast<std::int64_t>(groups.back().dilation.size())) {
      shape_error("channels of MiniRocket are (R, 84 G, M) for G = " + std::to_string(groups.back().dilation.size()) +
                  " different dilations, got " + shown(read));
    }
  }
  void* y = nullptr;
  const nb::object result = make_tensor(false, {sequences, rows * columns}, y);
  const nb::gil_scoped_release released;
  for (std::int64_t r = 0; r < rows; ++r) {
    rocket({sequences,
            static_cast<const std::int64_t*>(bounds.data),
            series.size[1],
            r == 1,
            all_statistics,
            static_cast<std::int64_t>(groups[r].dilation.size()),
            groups[r].dilation.data(),
            groups[r].first.data(),
            static_cast<const float*>(bias.data) + r * rocket_kernels * count,
            read.size[2],
            static_cast<const std::int64_t*>(read.data) + r * read.size[1] * read.size[2],
            threads,
            static_cast<const float*>(series.data),
            rows * columns,
            static_cast<float*>(y) + r * columns});
  }
  return result;
}

}  // namespace

void bind_rocket(nb::module_& m) {
  m.def("rocket", &features, nb::arg("x"), nb::arg("offsets"), nb::arg("dilations"), nb::arg("biases"),
        nb::arg("channels"), nb::kw_only(), nb::arg("all_statistics"), nb::arg("threads"), nb::arg("in_order"),
        "The features of MiniRocket, (B, F), of the series and with two rows of dilations also of their differences.");
}

}  // namespace throughtime
