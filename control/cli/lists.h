// The API's lists, page by page.
#ifndef CONTROL_CLI_LISTS_H_
#define CONTROL_CLI_LISTS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/cli/names.h"
#include "control/cli/target.h"
#include "proto/sluice/v1/recordings.pb.h"
#include "proto/sluice/v1/streams.pb.h"

namespace sluice {

// Calls `page` with each page until the list ends, or `page` returns false.
absl::Status ForEachRecordingPage(
    const Target& target, const std::function<bool(const v1::ListRecordingsResponse&)>& page);
absl::Status ForEachStreamPage(const Target& target, const v1::ListStreamsRequest& request,
                               const std::function<bool(const v1::ListStreamsResponse&)>& page);

// The stream; where the argument does not name its recording, that is looked for.
absl::StatusOr<v1::Stream> FindStream(const Target& target, const StreamArgument& argument);

}  // namespace sluice

#endif  // CONTROL_CLI_LISTS_H_
