# SPDX-License-Identifier: Apache-2.0
# Decides whether the CUDA backend and NCCL are built: sets QO_HAVE_CUDA and QO_HAVE_NCCL.
#
# The CUDA runtime is linked statically, NCCL is loaded when it is asked for, and libcuda is never
# linked: one program starts on machines with and without a driver.

set(QO_HAVE_CUDA FALSE)
set(QO_HAVE_NCCL FALSE)
if(NOT QO_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "QO_CUDA=${QO_CUDA}: not one of AUTO, ON, OFF.")
endif()
if(NOT QO_CUDA STREQUAL "OFF")
  # Before the language is enabled, or CMake takes a default of its own: machine code for H100 and
  # H200, and PTX that newer drivers compile for newer devices.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "90-real;90-virtual" CACHE STRING "CUDA architectures")
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit)
    set(QO_HAVE_CUDA ${CUDAToolkit_FOUND})
  endif()
  if(QO_CUDA STREQUAL "ON" AND NOT QO_HAVE_CUDA)
    message(FATAL_ERROR "QO_CUDA=ON: no CUDA toolkit was found; put nvcc on the PATH, or take "
                        "QO_CUDA=AUTO or OFF (in a fresh build folder: CMake remembers).")
  endif()
endif()
if(QO_HAVE_CUDA)
  find_package(NCCL)
  set(QO_HAVE_NCCL ${NCCL_FOUND})
  set(CMAKE_CUDA_STANDARD 17)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  # As for C: no contraction, and warnings.
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-Xcompiler=-Wall,-Wextra,-Wshadow,-ffp-contract=off,-fno-exceptions,-fno-threadsafe-statics>")
  # Machine code at a third of its size: bundles and start-up are smaller for it.
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
    add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:--compress-mode=size>")
  endif()
  if(QO_WERROR)
    add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Werror>")
  endif()
  if(NOT QO_HAVE_NCCL)
    set(NCCL_VERSION "not built (no nccl.h)")
  endif()
  message(STATUS "CUDA backend: ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}, NCCL ${NCCL_VERSION}")
else()
  message(STATUS "CUDA backend: not built")
endif()
