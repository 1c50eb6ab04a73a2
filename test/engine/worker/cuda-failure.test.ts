/** Why CUDA cannot be used is said in one plain sentence. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cudaFailure } from '../../../src/engine/worker/cuda-failure.js';

/** As ONNX Runtime 1.30 reports a failed call of the CUDA runtime, shortened in the middle. */
function cudaCall(code: number, text: string): Error {
  return new Error(
    `/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void, Status> ` +
      `onnxruntime::CudaCall(ERRTYPE) [with ERRTYPE = cudaError; bool THRW = true] CUDA failure ${code}: ${text} ; ` +
      'GPU=-1 ; hostname=host ; file=cuda_execution_provider.cc ; line=352 ; expr=cudaSetDevice(info_.device_id); \n\n',
  );
}

test('a failed call of CUDA is named without the C++ around it', () => {
  const noDevice = cudaCall(100, 'no CUDA-capable device is detected');
  assert.equal(cudaFailure(noDevice), 'the NVIDIA driver finds no CUDA device');
  const oldDriver = cudaCall(35, 'CUDA driver version is insufficient for CUDA runtime version');
  assert.equal(cudaFailure(oldDriver), 'the NVIDIA driver is too old for CUDA 13');
  assert.equal(
    cudaFailure(cudaCall(101, 'invalid device ordinal')),
    'this machine has no CUDA device of this number',
  );
  assert.equal(cudaFailure(cudaCall(2, 'out of memory')), 'CUDA error 2: out of memory');
});

test('libraries that cannot be loaded are named, and any other message stays as it is', () => {
  const message = cudaFailure(
    new Error('OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library'),
  );
  assert.match(message, /^(ONNX Runtime’s CUDA libraries are not installed|.*lib\S+\.so.* is missing)$/);
  assert.equal(cudaFailure(new Error('another reason')), 'another reason');
});
