// A device of torch that is CPU memory under another name, for tests of device handling without a GPU: tensors are not
// `is_cpu`, every operator of aten runs through torch's CPU fallback, and one that meets tensors of both devices is
// refused as on CUDA. Autocast casts what it casts on CUDA, of the operators that the layers use.
#include <torch/extension.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/CPUAllocator.h>
#include <set>
#include <cstdlib>
#include <sstream>

namespace {
constexpr auto P = c10::DeviceType::PrivateUse1;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr c10::DeviceType static_type = P;
  c10::DeviceType type() const override { return P; }
  c10::Device exchangeDevice(c10::Device) const override { return c10::Device(P, 0); }
  c10::Device getDevice() const override { return c10::Device(P, 0); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, c10::Device(P, 0)); }
  c10::Stream getDefaultStream(c10::Device d) const override { return getStream(d); }
  c10::Stream getNewStream(c10::Device d, int) const override { return getStream(d); }
  c10::Stream exchangeStream(c10::Stream s) const override { return getStream(s.device()); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(c10::DeviceIndex) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Alloc final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    void* p = n ? std::malloc(n) : nullptr;
    return {p, p, &del, c10::Device(P, 0)};
  }
  static void del(void* p) { if (p) std::free(p); }
  c10::DeleterFnPtr raw_deleter() const override { return &del; }
  void copy_data(void* d, const void* s, std::size_t n) const override { std::memcpy(d, s, n); }
};
Alloc alloc;
REGISTER_ALLOCATOR(P, &alloc);

struct Hooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::detail::createCPUGenerator(); }
  void resizePrivateUse1Bytes(const c10::Storage& s, size_t n) const override {
    auto d = alloc.allocate(n);
    std::memcpy(d.get(), s.data(), std::min(n, s.nbytes()));
    s.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(d));
    s.unsafeGetStorageImpl()->set_nbytes(n);
  }
};

at::Tensor host(const at::Tensor& t) {
  if (t.device().type() != P) return t;
  return at::from_blob(t.data_ptr(), t.sizes(), t.strides(), t.options().device(at::kCPU).requires_grad(false));
}

at::Tensor empty_mf(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> mf) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &alloc, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype), mf);
}
at::Tensor empty_str(c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &alloc, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}
at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool) {
  auto d = host(dst);
  d.copy_(host(self));
  return dst;
}
at::Tensor copy_from_resize(const at::Tensor& self, const at::Tensor& dst) {
  dst.resize_(self.sizes());
  return copy_from(self, dst, false);
}
at::Tensor as_strided(const at::Tensor& self, c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<c10::SymInt> off) {
  return at::native::as_strided_tensorimpl(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), off ? std::optional<int64_t>(off->expect_int()) : std::nullopt);
}
at::Tensor view(const at::Tensor& self, c10::SymIntArrayRef size) { return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size)); }
at::Tensor reshape_alias(const at::Tensor& self, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}
at::Tensor unfold(const at::Tensor& self, int64_t d, int64_t s, int64_t st) { return at::native::unfold(self, d, s, st); }
const at::Tensor& resize_(const at::Tensor& self, c10::SymIntArrayRef size, std::optional<at::MemoryFormat> mf) {
  auto sz = C10_AS_INTARRAYREF_SLOW(size);
  int64_t n = c10::multiply_integers(sz);
  auto* impl = self.unsafeGetTensorImpl();
  size_t need = (n + self.storage_offset()) * self.itemsize();
  if (self.storage().nbytes() < need) {
    auto d = alloc.allocate(need);
    if (self.storage().nbytes()) std::memcpy(d.get(), self.storage().data(), self.storage().nbytes());
    self.storage().unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(d));
    self.storage().unsafeGetStorageImpl()->set_nbytes(need);
  }
  impl->set_sizes_contiguous(sz);
  return self;
}
at::Scalar local_scalar(const at::Tensor& self) { return at::_local_scalar_dense(host(self)); }
at::Tensor& set_so(at::Tensor& r, at::Storage s, c10::SymInt off, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  r.unsafeGetTensorImpl()->set_storage_keep_dtype(s);
  r.unsafeGetTensorImpl()->set_sizes_and_strides(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), off.expect_int());
  return r;
}
at::Tensor& set_t(at::Tensor& r, const at::Tensor& s) {
  return set_so(r, s.storage(), s.storage_offset(), s.sym_sizes(), s.sym_strides());
}

std::set<std::string> MIXED = {"aten::index.Tensor", "aten::_index_put_impl_", "aten::index_put_", "aten::index_put", "aten::index.Tensor_out"};

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  auto name = c10::toString(op.operator_name());
  auto args = torch::jit::last(*stack, op.schema().arguments().size());
  bool mine = false, cpu = false;
  auto see = [&](const at::Tensor& t) {
    if (!t.defined()) return;
    if (t.device().type() == P) mine = true;
    else if (t.dim() > 0) cpu = true;
  };
  for (const auto& a : args) {
    if (a.isTensor()) see(a.toTensor());
    else if (a.isTensorList()) for (const at::Tensor& t : a.toTensorList()) see(t);
    else if (a.isOptionalTensorList()) for (const std::optional<at::Tensor>& t : a.toOptionalTensorList()) if (t) see(*t);
  }
  TORCH_CHECK(!(mine && cpu && !MIXED.count(name)), "Expected all tensors to be on the same device, but found at least two devices, simulated:0 and cpu! in ", name);
  at::native::cpu_fallback(op, stack);
}
}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty_mf);
  m.impl("empty_strided", empty_str);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_resize);
  m.impl("as_strided", as_strided);
  m.impl("view", view);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("unfold", unfold);
  m.impl("resize_", resize_);
  m.impl("_local_scalar_dense", local_scalar);
  m.impl("set_.source_Storage_storage_offset", set_so);
  m.impl("set_.source_Tensor", set_t);
}
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(mm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(addmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(bmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(conv1d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(layer_norm, fp32)
  KERNEL_PRIVATEUSEONE(group_norm, fp32)
  KERNEL_PRIVATEUSEONE(exp, fp32)
  KERNEL_PRIVATEUSEONE(sum, fp32_set_opt_dtype)
  KERNEL_PRIVATEUSEONE(sum, dim_IntList, fp32_set_opt_dtype)
  KERNEL_PRIVATEUSEONE(cumsum, fp32_set_opt_dtype)
  KERNEL_PRIVATEUSEONE(softmax, int, fp32_set_opt_dtype)
  KERNEL_PRIVATEUSEONE(log_softmax, int, fp32_set_opt_dtype)
  KERNEL_PRIVATEUSEONE(cat, promote)
  KERNEL_PRIVATEUSEONE(stack, promote)
  KERNEL_PRIVATEUSEONE(index_put, promote)
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("register_hooks", []() { at::RegisterPrivateUse1HooksInterface(new Hooks()); });
}
