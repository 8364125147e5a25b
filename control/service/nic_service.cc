#include "control/service/nic_service.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/nic/nic_journal.h"
#include "control/nic/nic_plan.h"
#include "control/nic/nic_transaction.h"
#include "control/service/answer.h"
#include "control/service/nic_report.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive_keeper.h"

namespace sluice {
namespace {

template <class Request>
absl::StatusOr<DesiredNic> DesiredOf(const Request& request) {
  SLUICE_ASSIGN_OR_RETURN(const std::string interface, ParseInterfaceName(request.name()));
  if (!request.has_settings()) {
    return absl::InvalidArgumentError("settings are missing: what the interface should be");
  }
  return ToDesired(interface, request.settings());
}

NicWatcher AddTo(const std::string& interface, v1::NicPlan* done) {
  return [interface, done](const NicStep& step) { AddStep(interface, step, done); };
}

}  // namespace

absl::StatusOr<v1::ListNetworkInterfacesResponse> NicService::List() {
  SLUICE_ASSIGN_OR_RETURN(const std::shared_ptr<NicPort> port, open_());
  SLUICE_ASSIGN_OR_RETURN(const std::vector<std::string> interfaces, port->Interfaces());
  v1::ListNetworkInterfacesResponse response;
  for (const std::string& interface : interfaces) {
    absl::StatusOr<v1::NetworkInterface> described = DescribeNic(*port, journals_, interface);
    if (absl::IsNotFound(described.status())) continue;  // gone meanwhile
    SLUICE_RETURN_IF_ERROR(described.status());
    *response.add_network_interfaces() = *std::move(described);
  }
  return response;
}

absl::StatusOr<v1::NetworkInterface> NicService::Get(
    const v1::GetNetworkInterfaceRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const std::string interface, ParseInterfaceName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const std::shared_ptr<NicPort> port, open_());
  return DescribeNic(*port, journals_, interface);
}

absl::StatusOr<v1::NicPlan> NicService::Plan(const v1::PlanNetworkInterfaceRequest& request) {
  SLUICE_ASSIGN_OR_RETURN(const DesiredNic desired, DesiredOf(request));
  SLUICE_ASSIGN_OR_RETURN(const std::shared_ptr<NicPort> port, open_());
  return PlanNic(*port, journals_, desired);
}

absl::StatusOr<v1::NicPlan> NicService::Apply(const v1::ApplyNetworkInterfaceRequest& request,
                                              const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(const DesiredNic desired, DesiredOf(request));
  SLUICE_ASSIGN_OR_RETURN(const std::shared_ptr<NicPort> port, open_());
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<NicJournal> journal,
                          NicJournal::Open(journals_, desired.interface));
  v1::NicPlan done;
  SLUICE_RETURN_IF_ERROR(ApplyNic(*port, *journal, desired, AddTo(desired.interface, &done)));
  Audit(actor, "interface set", request.name(), done);
  return done;
}

absl::StatusOr<v1::NicPlan> NicService::Revert(const v1::RevertNetworkInterfaceRequest& request,
                                               const std::string& actor) {
  SLUICE_ASSIGN_OR_RETURN(const std::string interface, ParseInterfaceName(request.name()));
  SLUICE_ASSIGN_OR_RETURN(const std::shared_ptr<NicPort> port, open_());
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<NicJournal> journal,
                          NicJournal::Open(journals_, interface));
  v1::NicPlan done;
  const absl::Status status = RevertNic(*port, *journal, AddTo(interface, &done));
  // Not the interface is what was not found.
  if (absl::IsNotFound(status)) {
    return absl::FailedPreconditionError(
        absl::StrCat(interface, " was not set by sluice: there is nothing to put back"));
  }
  SLUICE_RETURN_IF_ERROR(status);
  Audit(actor, "interface put back", request.name(), done);
  return done;
}

void NicService::Audit(const std::string& actor, const std::string& action,
                       const std::string& object, const v1::NicPlan& done) const {
  if (archive_->recorder() == nullptr) return;
  const auto command = [](std::string* out, const v1::NicPlan::Step& step) {
    out->append(step.command());
  };
  archive_->recorder()->keeper().Audit(actor, action, object,
                                       absl::StrJoin(done.steps(), "; ", command));
}

grpc::Status NicService::ListNetworkInterfaces(grpc::ServerContext* /*context*/,
                                               const v1::ListNetworkInterfacesRequest* /*request*/,
                                               v1::ListNetworkInterfacesResponse* response) {
  return Answer(List(), response);
}

grpc::Status NicService::GetNetworkInterface(grpc::ServerContext* /*context*/,
                                             const v1::GetNetworkInterfaceRequest* request,
                                             v1::NetworkInterface* response) {
  return Answer(Get(*request), response);
}

grpc::Status NicService::PlanNetworkInterface(grpc::ServerContext* /*context*/,
                                              const v1::PlanNetworkInterfaceRequest* request,
                                              v1::NicPlan* response) {
  return Answer(Plan(*request), response);
}

grpc::Status NicService::ApplyNetworkInterface(grpc::ServerContext* context,
                                               const v1::ApplyNetworkInterfaceRequest* request,
                                               v1::NicPlan* response) {
  return Answer(Apply(*request, archive_->callers().ActorOf(*context)), response);
}

grpc::Status NicService::RevertNetworkInterface(grpc::ServerContext* context,
                                                const v1::RevertNetworkInterfaceRequest* request,
                                                v1::NicPlan* response) {
  return Answer(Revert(*request, archive_->callers().ActorOf(*context)), response);
}

}  // namespace sluice
