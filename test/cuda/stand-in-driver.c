/* Stands in for the NVIDIA driver where there is none, so that the CUDA runtime loads and reports that there is no device. */
#include <string.h>

enum { SUCCESS = 0, NO_DEVICE = 100, CUDA_13_2 = 13020 };

int cuInit(unsigned flags) { return NO_DEVICE; }
int cuTensorMapEncodeTiled(void) { return NO_DEVICE; }
static int no_device(void) { return NO_DEVICE; }

int cuDriverGetVersion(int *version) {
  *version = CUDA_13_2;
  return SUCCESS;
}

/* The CUDA runtime gets every other function of the driver from here. */
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, int *status) {
  if (status) *status = SUCCESS;
  if (!strcmp(name, "cuDriverGetVersion")) *function = (void *)cuDriverGetVersion;
  else if (!strncmp(name, "cuGetProcAddress", 16)) *function = (void *)cuGetProcAddress_v2;
  else *function = (void *)no_device;
  return SUCCESS;
}

int cuGetProcAddress(const char *name, void **function, int version, unsigned long long flags) {
  return cuGetProcAddress_v2(name, function, version, flags, 0);
}
