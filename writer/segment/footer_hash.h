// The name of a footer, that the next segment of the track repeats.
#ifndef WRITER_SEGMENT_FOOTER_HASH_H_
#define WRITER_SEGMENT_FOOTER_HASH_H_

#include <cstddef>

#include "absl/types/span.h"
#include "writer/segment/segment_link.h"

namespace sluice {

// SHA-256 over a whole footer, with the flag kSealedByRecovery and the trailer's checksum taken as
// zero: so a footer that recovery wrote is called the same as the writer's that says the same.
// Costs about 1 us for 2 KiB. `footer` ends with a trailer.
Sha256 FooterSha256(absl::Span<const std::byte> footer);

}  // namespace sluice

#endif  // WRITER_SEGMENT_FOOTER_HASH_H_
