// sluice.v1.NicService.
#ifndef CONTROL_SERVICE_NIC_SERVICE_H_
#define CONTROL_SERVICE_NIC_SERVICE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "control/nic/nic_port.h"
#include "control/service/served_archive.h"
#include "proto/sluice/v1/nic.grpc.pb.h"

namespace sluice {

// Thread-safe: each call opens a port of its own, and who changes an interface has its lock.
class NicService final : public v1::NicService::Service {
 public:
  using PortOpener = std::function<absl::StatusOr<std::shared_ptr<NicPort>>()>;

  // `archive`, for the audit of its recorder, outlives it. `journals`: see NicJournal.
  NicService(const ServedArchive* archive, std::string journals, PortOpener open)
      : archive_(archive), journals_(std::move(journals)), open_(std::move(open)) {}

  grpc::Status ListNetworkInterfaces(grpc::ServerContext* context,
                                     const v1::ListNetworkInterfacesRequest* request,
                                     v1::ListNetworkInterfacesResponse* response) override;
  grpc::Status GetNetworkInterface(grpc::ServerContext* context,
                                   const v1::GetNetworkInterfaceRequest* request,
                                   v1::NetworkInterface* response) override;
  grpc::Status PlanNetworkInterface(grpc::ServerContext* context,
                                    const v1::PlanNetworkInterfaceRequest* request,
                                    v1::NicPlan* response) override;
  grpc::Status ApplyNetworkInterface(grpc::ServerContext* context,
                                     const v1::ApplyNetworkInterfaceRequest* request,
                                     v1::NicPlan* response) override;
  grpc::Status RevertNetworkInterface(grpc::ServerContext* context,
                                      const v1::RevertNetworkInterfaceRequest* request,
                                      v1::NicPlan* response) override;

 private:
  absl::StatusOr<v1::ListNetworkInterfacesResponse> List();
  absl::StatusOr<v1::NetworkInterface> Get(const v1::GetNetworkInterfaceRequest& request);
  absl::StatusOr<v1::NicPlan> Plan(const v1::PlanNetworkInterfaceRequest& request);
  absl::StatusOr<v1::NicPlan> Apply(const v1::ApplyNetworkInterfaceRequest& request,
                                    const std::string& actor);
  absl::StatusOr<v1::NicPlan> Revert(const v1::RevertNetworkInterfaceRequest& request,
                                     const std::string& actor);
  // Without a recorder there is nobody who keeps it.
  void Audit(const std::string& actor, const std::string& action, const std::string& object,
             const v1::NicPlan& done) const;

  const ServedArchive* const archive_;
  const std::string journals_;
  const PortOpener open_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_NIC_SERVICE_H_
