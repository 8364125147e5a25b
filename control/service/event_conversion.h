// The audit's rows as messages of the API.
#ifndef CONTROL_SERVICE_EVENT_CONVERSION_H_
#define CONTROL_SERVICE_EVENT_CONVERSION_H_

#include "absl/strings/string_view.h"
#include "proto/sluice/v1/events.pb.h"
#include "writer/catalog/audit.h"

namespace sluice {

// KIND_UNSPECIFIED: an action that the API has no name for.
v1::Event::Kind KindOf(absl::string_view action);
// Empty: there is no such kind.
absl::string_view ActionOf(v1::Event::Kind kind);

v1::Event ToEvent(const AuditRow& row);

}  // namespace sluice

#endif  // CONTROL_SERVICE_EVENT_CONVERSION_H_
