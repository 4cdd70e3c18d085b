/*
 * The one function that Node's Linux builds use from libatomic.so.1, which minimal systems lack. Node calls it for
 * 8-byte values at aligned addresses, where the processor has an instruction; anything else stops the program. The
 * memory order is always the strongest, which satisfies every caller.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool coder_atomic_compare_exchange(size_t size, void *object, void *expected, void *desired, int success, int failure) {
  (void)success;
  (void)failure;
  if (size != 8 || ((uintptr_t)object & 7) != 0) __builtin_trap();
  return __atomic_compare_exchange((uint64_t *)object, (uint64_t *)expected, (uint64_t *)desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
