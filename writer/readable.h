// Sizes in messages for people.
#ifndef WRITER_READABLE_H_
#define WRITER_READABLE_H_

#include <string>

#include "ingest/units.h"

namespace sluice {

// "16 GiB", "1.5 GiB", "300 KiB".
std::string Readable(ByteCount bytes);

}  // namespace sluice

#endif  // WRITER_READABLE_H_
