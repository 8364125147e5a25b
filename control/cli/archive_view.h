// How an archive is shown to people.
#ifndef CONTROL_CLI_ARCHIVE_VIEW_H_
#define CONTROL_CLI_ARCHIVE_VIEW_H_

#include "control/cli/table.h"
#include "proto/sluice/v1/status.pb.h"

namespace sluice {

void AddArchive(const v1::Archive& archive, Properties& properties);

}  // namespace sluice

#endif  // CONTROL_CLI_ARCHIVE_VIEW_H_
