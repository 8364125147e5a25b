// Retention as tables and lines.
#ifndef CONTROL_CLI_RETENTION_VIEW_H_
#define CONTROL_CLI_RETENTION_VIEW_H_

#include <google/protobuf/repeated_ptr_field.h>

#include <ostream>

#include "control/cli/table.h"
#include "proto/sluice/v1/retention.pb.h"

namespace sluice {

void PrintHold(const v1::Hold& hold, std::ostream& out);
void PrintHolds(const google::protobuf::RepeatedPtrField<v1::Hold>& holds, std::ostream& out);
void PrintClasses(const google::protobuf::RepeatedPtrField<v1::RetentionClass>& classes,
                  std::ostream& out);
void PrintRemovals(const google::protobuf::RepeatedPtrField<v1::PlannedRemoval>& removals,
                   std::ostream& out);
void PrintPlan(const v1::RetentionPlan& plan, std::ostream& out);
Table AuditTable(std::ostream& out);
void AddAuditRow(const v1::AuditEvent& event, Table& table);

}  // namespace sluice

#endif  // CONTROL_CLI_RETENTION_VIEW_H_
