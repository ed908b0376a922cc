/* SPDX-License-Identifier: Apache-2.0 */
/* What nccl.h includes, for C files: the shim's, without the language of kernels. */
#include "../cuda_runtime_api.h"
