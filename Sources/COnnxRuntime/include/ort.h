// ONNX Runtime's C interface, as far as lathe calls it.
//
// The runtime is opened with dlopen, so there is no header to include. Its interface is one table of function
// pointers whose order never changes: a later release only appends. This file names the slots we call, fills the
// rest, and has the compiler check the position of every one. The table is that of API version 17 (release 1.17);
// the one slot that came later says so.
#ifndef LATHE_ORT_H
#define LATHE_ORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma clang assume_nonnull begin

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtValue OrtValue;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtAllocator OrtAllocator;

// Enumerations cross the boundary as int: a release newer than this file may send values it does not list.
typedef int OrtErrorCode;
typedef int OrtLoggingLevel;          // 0 verbose, 1 info, 2 warning, 3 error, 4 fatal
typedef int OrtGraphOptimizationLevel;  // 0 none, 1 basic, 2 extended, 3 layout, 99 all
typedef int OrtExecutionMode;         // 0 sequential, 1 parallel
typedef int OrtAllocatorType;         // 0 device, 1 arena
typedef int OrtMemType;               // 0 default
typedef int ONNXType;
typedef int ONNXTensorElementDataType;

enum {
  LATHE_ORT_TYPE_UNKNOWN = 0,
  LATHE_ORT_TYPE_TENSOR = 1,
  LATHE_ORT_TYPE_SEQUENCE = 2,
  LATHE_ORT_TYPE_MAP = 3,
  LATHE_ORT_TYPE_OPAQUE = 4,
  LATHE_ORT_TYPE_SPARSE_TENSOR = 5,
  LATHE_ORT_TYPE_OPTIONAL = 6,
};

enum {
  LATHE_ORT_DEVICE_ALLOCATOR = 0,
  LATHE_ORT_ARENA_ALLOCATOR = 1,
  LATHE_ORT_MEMORY_DEFAULT = 0,
};

typedef void (*OrtLoggingFunction)(void *_Nullable param, OrtLoggingLevel severity, const char *_Nullable category,
                                   const char *_Nullable logid, const char *_Nullable code_location,
                                   const char *_Nullable message);

#define ORT_STATUS OrtStatus *_Nullable
#define ORT_UNUSED(first, last) void *_Nullable unused_##first##_to_##last[(last) - (first) + 1]

typedef struct OrtApi {
  ORT_UNUSED(0, 0);
  OrtErrorCode (*_Nonnull GetErrorCode)(const OrtStatus *status);
  const char *_Nullable (*_Nonnull GetErrorMessage)(const OrtStatus *status);
  ORT_UNUSED(3, 3);
  ORT_STATUS (*_Nonnull CreateEnvWithCustomLogger)(OrtLoggingFunction logging_function, void *_Nullable logger_param,
      OrtLoggingLevel severity, const char *logid, OrtEnv *_Nullable *_Nonnull out);
  ORT_UNUSED(5, 5);
  ORT_STATUS (*_Nonnull DisableTelemetryEvents)(const OrtEnv *env);
  ORT_STATUS (*_Nonnull CreateSession)(const OrtEnv *env, const char *model_path, const OrtSessionOptions *options,
      OrtSession *_Nullable *_Nonnull out);
  ORT_STATUS (*_Nonnull CreateSessionFromArray)(const OrtEnv *env, const void *model_data, size_t model_data_length,
      const OrtSessionOptions *options, OrtSession *_Nullable *_Nonnull out);
  ORT_STATUS (*_Nonnull Run)(OrtSession *session, const OrtRunOptions *_Nullable run_options,
      const char *_Nonnull const *_Nonnull input_names,
      const OrtValue *_Nonnull const *_Nonnull inputs, size_t input_len,
      const char *_Nonnull const *_Nonnull output_names, size_t output_names_len,
      OrtValue *_Nullable *_Nonnull outputs);
  ORT_STATUS (*_Nonnull CreateSessionOptions)(OrtSessionOptions *_Nullable *_Nonnull options);
  ORT_STATUS (*_Nonnull SetOptimizedModelFilePath)(OrtSessionOptions *options, const char *path);
  ORT_UNUSED(12, 12);
  ORT_STATUS (*_Nonnull SetSessionExecutionMode)(OrtSessionOptions *options, OrtExecutionMode execution_mode);
  ORT_STATUS (*_Nonnull EnableProfiling)(OrtSessionOptions *options, const char *profile_file_prefix);
  ORT_UNUSED(15, 15);
  ORT_STATUS (*_Nonnull EnableMemPattern)(OrtSessionOptions *options);
  ORT_STATUS (*_Nonnull DisableMemPattern)(OrtSessionOptions *options);
  ORT_STATUS (*_Nonnull EnableCpuMemArena)(OrtSessionOptions *options);
  ORT_STATUS (*_Nonnull DisableCpuMemArena)(OrtSessionOptions *options);
  ORT_STATUS (*_Nonnull SetSessionLogId)(OrtSessionOptions *options, const char *logid);
  ORT_UNUSED(21, 22);
  ORT_STATUS (*_Nonnull SetSessionGraphOptimizationLevel)(
      OrtSessionOptions *options, OrtGraphOptimizationLevel level);
  ORT_STATUS (*_Nonnull SetIntraOpNumThreads)(OrtSessionOptions *options, int intra_op_num_threads);
  ORT_STATUS (*_Nonnull SetInterOpNumThreads)(OrtSessionOptions *options, int inter_op_num_threads);
  ORT_UNUSED(26, 29);
  ORT_STATUS (*_Nonnull SessionGetInputCount)(const OrtSession *session, size_t *out);
  ORT_STATUS (*_Nonnull SessionGetOutputCount)(const OrtSession *session, size_t *out);
  ORT_STATUS (*_Nonnull SessionGetOverridableInitializerCount)(const OrtSession *session, size_t *out);
  ORT_STATUS (*_Nonnull SessionGetInputTypeInfo)(
      const OrtSession *session, size_t index, OrtTypeInfo *_Nullable *_Nonnull out);
  ORT_STATUS (*_Nonnull SessionGetOutputTypeInfo)(
      const OrtSession *session, size_t index, OrtTypeInfo *_Nullable *_Nonnull out);
  ORT_STATUS (*_Nonnull SessionGetOverridableInitializerTypeInfo)(const OrtSession *session, size_t index,
      OrtTypeInfo *_Nullable *_Nonnull out);
  ORT_STATUS (*_Nonnull SessionGetInputName)(const OrtSession *session, size_t index, OrtAllocator *allocator,
      char *_Nullable *_Nonnull value);
  ORT_STATUS (*_Nonnull SessionGetOutputName)(const OrtSession *session, size_t index, OrtAllocator *allocator,
      char *_Nullable *_Nonnull value);
  ORT_STATUS (*_Nonnull SessionGetOverridableInitializerName)(
      const OrtSession *session, size_t index, OrtAllocator *allocator,
      char *_Nullable *_Nonnull value);
  ORT_STATUS (*_Nonnull CreateRunOptions)(OrtRunOptions *_Nullable *_Nonnull out);
  ORT_UNUSED(40, 45);
  ORT_STATUS (*_Nonnull RunOptionsSetTerminate)(OrtRunOptions *options);
  ORT_STATUS (*_Nonnull RunOptionsUnsetTerminate)(OrtRunOptions *options);
  ORT_STATUS (*_Nonnull CreateTensorAsOrtValue)(
      OrtAllocator *allocator, const int64_t *_Nullable shape, size_t shape_len,
      ONNXTensorElementDataType type, OrtValue *_Nullable *_Nonnull out);
  ORT_STATUS (*_Nonnull CreateTensorWithDataAsOrtValue)(
      const OrtMemoryInfo *info, void *_Nullable p_data, size_t p_data_len,
      const int64_t *_Nullable shape, size_t shape_len,
      ONNXTensorElementDataType type, OrtValue *_Nullable *_Nonnull out);
  ORT_UNUSED(50, 50);
  ORT_STATUS (*_Nonnull GetTensorMutableData)(OrtValue *value, void *_Nullable *_Nonnull out);
  ORT_STATUS (*_Nonnull FillStringTensor)(OrtValue *value, const char *_Nonnull const *_Nonnull s, size_t s_len);
  ORT_STATUS (*_Nonnull GetStringTensorDataLength)(const OrtValue *value, size_t *len);
  ORT_STATUS (*_Nonnull GetStringTensorContent)(const OrtValue *value, void *s, size_t s_len, size_t *offsets,
      size_t offsets_len);
  ORT_STATUS (*_Nonnull CastTypeInfoToTensorInfo)(const OrtTypeInfo *type_info,
      const OrtTensorTypeAndShapeInfo *_Nullable *_Nonnull out);
  ORT_STATUS (*_Nonnull GetOnnxTypeFromTypeInfo)(const OrtTypeInfo *type_info, ONNXType *out);
  ORT_UNUSED(57, 59);
  ORT_STATUS (*_Nonnull GetTensorElementType)(const OrtTensorTypeAndShapeInfo *info, ONNXTensorElementDataType *out);
  ORT_STATUS (*_Nonnull GetDimensionsCount)(const OrtTensorTypeAndShapeInfo *info, size_t *out);
  ORT_STATUS (*_Nonnull GetDimensions)(
      const OrtTensorTypeAndShapeInfo *info, int64_t *dim_values, size_t dim_values_length);
  ORT_STATUS (*_Nonnull GetSymbolicDimensions)(const OrtTensorTypeAndShapeInfo *info,
      const char *_Nullable *_Nonnull dim_params, size_t dim_params_length);
  ORT_UNUSED(64, 64);
  ORT_STATUS (*_Nonnull GetTensorTypeAndShape)(
      const OrtValue *value, OrtTensorTypeAndShapeInfo *_Nullable *_Nonnull out);
  ORT_UNUSED(66, 66);
  ORT_STATUS (*_Nonnull GetValueType)(const OrtValue *value, ONNXType *out);
  ORT_UNUSED(68, 68);
  ORT_STATUS (*_Nonnull CreateCpuMemoryInfo)(OrtAllocatorType type, OrtMemType mem_type,
      OrtMemoryInfo *_Nullable *_Nonnull out);
  ORT_UNUSED(70, 75);
  ORT_STATUS (*_Nonnull AllocatorFree)(OrtAllocator *allocator, void *_Nullable p);
  ORT_UNUSED(77, 77);
  ORT_STATUS (*_Nonnull GetAllocatorWithDefaultOptions)(OrtAllocator *_Nullable *_Nonnull out);
  ORT_UNUSED(79, 79);
  ORT_STATUS (*_Nonnull GetValue)(
      const OrtValue *value, int index, OrtAllocator *allocator, OrtValue *_Nullable *_Nonnull out);
  ORT_STATUS (*_Nonnull GetValueCount)(const OrtValue *value, size_t *out);
  ORT_UNUSED(82, 91);
  void (*_Nonnull ReleaseEnv)(OrtEnv *_Nullable input);
  void (*_Nonnull ReleaseStatus)(OrtStatus *_Nullable input);
  void (*_Nonnull ReleaseMemoryInfo)(OrtMemoryInfo *_Nullable input);
  void (*_Nonnull ReleaseSession)(OrtSession *_Nullable input);
  void (*_Nonnull ReleaseValue)(OrtValue *_Nullable input);
  void (*_Nonnull ReleaseRunOptions)(OrtRunOptions *_Nullable input);
  void (*_Nonnull ReleaseTypeInfo)(OrtTypeInfo *_Nullable input);
  void (*_Nonnull ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo *_Nullable input);
  void (*_Nonnull ReleaseSessionOptions)(OrtSessionOptions *_Nullable input);
  ORT_UNUSED(101, 109);
  ORT_STATUS (*_Nonnull SessionEndProfiling)(
      OrtSession *session, OrtAllocator *allocator, char *_Nullable *_Nonnull out);
  ORT_UNUSED(111, 123);
  ORT_STATUS (*_Nonnull AddFreeDimensionOverrideByName)(
      OrtSessionOptions *options, const char *dim_name, int64_t dim_value);
  ORT_STATUS (*_Nonnull GetAvailableProviders)(char *_Nullable *_Nullable *_Nonnull out, int *provider_length);
  ORT_STATUS (*_Nonnull ReleaseAvailableProviders)(char *_Nullable *_Nullable ptr, int providers_length);
  ORT_UNUSED(127, 129);
  ORT_STATUS (*_Nonnull AddSessionConfigEntry)(
      OrtSessionOptions *options, const char *config_key, const char *config_value);
  ORT_UNUSED(131, 164);
  ORT_STATUS (*_Nonnull AddRunConfigEntry)(OrtRunOptions *options, const char *config_key, const char *config_value);
  ORT_UNUSED(166, 191);
  ORT_STATUS (*_Nonnull HasValue)(const OrtValue *value, int *out);
  ORT_UNUSED(193, 209);
  ORT_STATUS (*_Nonnull AddExternalInitializers)(
      OrtSessionOptions *options, const char *_Nonnull const *_Nonnull names,
      const OrtValue *_Nonnull const *_Nonnull initializers, size_t count);
  ORT_UNUSED(211, 253);
  const char *_Nullable (*_Nonnull GetBuildInfoString)(void);
  ORT_UNUSED(255, 389);
  bool (*_Nonnull TensorTypeAndShape_HasShape)(const OrtTensorTypeAndShapeInfo *info);  // release 1.24 and later only
} OrtApi;

#define ORT_SLOT(slot, function) \
  _Static_assert(offsetof(OrtApi, function) == (slot) * sizeof(void *), #function " must be slot " #slot)

ORT_SLOT(1, GetErrorCode);
ORT_SLOT(2, GetErrorMessage);
ORT_SLOT(4, CreateEnvWithCustomLogger);
ORT_SLOT(6, DisableTelemetryEvents);
ORT_SLOT(7, CreateSession);
ORT_SLOT(8, CreateSessionFromArray);
ORT_SLOT(9, Run);
ORT_SLOT(10, CreateSessionOptions);
ORT_SLOT(11, SetOptimizedModelFilePath);
ORT_SLOT(13, SetSessionExecutionMode);
ORT_SLOT(14, EnableProfiling);
ORT_SLOT(16, EnableMemPattern);
ORT_SLOT(17, DisableMemPattern);
ORT_SLOT(18, EnableCpuMemArena);
ORT_SLOT(19, DisableCpuMemArena);
ORT_SLOT(20, SetSessionLogId);
ORT_SLOT(23, SetSessionGraphOptimizationLevel);
ORT_SLOT(24, SetIntraOpNumThreads);
ORT_SLOT(25, SetInterOpNumThreads);
ORT_SLOT(30, SessionGetInputCount);
ORT_SLOT(31, SessionGetOutputCount);
ORT_SLOT(32, SessionGetOverridableInitializerCount);
ORT_SLOT(33, SessionGetInputTypeInfo);
ORT_SLOT(34, SessionGetOutputTypeInfo);
ORT_SLOT(35, SessionGetOverridableInitializerTypeInfo);
ORT_SLOT(36, SessionGetInputName);
ORT_SLOT(37, SessionGetOutputName);
ORT_SLOT(38, SessionGetOverridableInitializerName);
ORT_SLOT(39, CreateRunOptions);
ORT_SLOT(46, RunOptionsSetTerminate);
ORT_SLOT(47, RunOptionsUnsetTerminate);
ORT_SLOT(48, CreateTensorAsOrtValue);
ORT_SLOT(49, CreateTensorWithDataAsOrtValue);
ORT_SLOT(51, GetTensorMutableData);
ORT_SLOT(52, FillStringTensor);
ORT_SLOT(53, GetStringTensorDataLength);
ORT_SLOT(54, GetStringTensorContent);
ORT_SLOT(55, CastTypeInfoToTensorInfo);
ORT_SLOT(56, GetOnnxTypeFromTypeInfo);
ORT_SLOT(60, GetTensorElementType);
ORT_SLOT(61, GetDimensionsCount);
ORT_SLOT(62, GetDimensions);
ORT_SLOT(63, GetSymbolicDimensions);
ORT_SLOT(65, GetTensorTypeAndShape);
ORT_SLOT(67, GetValueType);
ORT_SLOT(69, CreateCpuMemoryInfo);
ORT_SLOT(76, AllocatorFree);
ORT_SLOT(78, GetAllocatorWithDefaultOptions);
ORT_SLOT(80, GetValue);
ORT_SLOT(81, GetValueCount);
ORT_SLOT(92, ReleaseEnv);
ORT_SLOT(93, ReleaseStatus);
ORT_SLOT(94, ReleaseMemoryInfo);
ORT_SLOT(95, ReleaseSession);
ORT_SLOT(96, ReleaseValue);
ORT_SLOT(97, ReleaseRunOptions);
ORT_SLOT(98, ReleaseTypeInfo);
ORT_SLOT(99, ReleaseTensorTypeAndShapeInfo);
ORT_SLOT(100, ReleaseSessionOptions);
ORT_SLOT(110, SessionEndProfiling);
ORT_SLOT(124, AddFreeDimensionOverrideByName);
ORT_SLOT(125, GetAvailableProviders);
ORT_SLOT(126, ReleaseAvailableProviders);
ORT_SLOT(130, AddSessionConfigEntry);
ORT_SLOT(165, AddRunConfigEntry);
ORT_SLOT(192, HasValue);
ORT_SLOT(210, AddExternalInitializers);
ORT_SLOT(254, GetBuildInfoString);
ORT_SLOT(390, TensorTypeAndShape_HasShape);

#undef ORT_SLOT
#undef ORT_UNUSED
#undef ORT_STATUS

/// What the library's only exported symbol, `OrtGetApiBase`, returns.
typedef struct OrtApiBase {
  const OrtApi *_Nullable (*_Nonnull GetApi)(uint32_t version);
  const char *_Nullable (*_Nonnull GetVersionString)(void);
} OrtApiBase;

/// Calls `symbol`, the address of `OrtGetApiBase` as dlsym gave it.
const OrtApiBase *_Nullable lathe_ort_api_base(void *symbol);

/// The file that the code or data at `address` was loaded from; null when unknown. The loader owns the string.
const char *_Nullable lathe_image_path(const void *address);

/// The file this function was linked into: the executable, or a test bundle.
const char *_Nullable lathe_own_image_path(void);

#pragma clang assume_nonnull end

#ifdef __cplusplus
}
#endif

#endif
