// CHECK: for our own bugs, in production too. Debian's Abseil (20220623) has none yet.
#ifndef INGEST_CHECK_H_
#define INGEST_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define SLUICE_CHECK(condition)                                                              \
  ((condition)                                                                               \
       ? (void)0                                                                             \
       : (std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition), \
          std::abort()))

#endif  // INGEST_CHECK_H_
