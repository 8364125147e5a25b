// What is known of a machine before it is judged. Plain data: tests make it up.
#ifndef CONTROL_DOCTOR_FACTS_H_
#define CONTROL_DOCTOR_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/nic/interface.h"
#include "ingest/probe/kernel_probe.h"
#include "writer/archive/disk_geometry.h"

namespace sluice {

// What is not there was not asked for, or could not be tried.
struct DoctorFacts {
  KernelFacts kernel;

  std::optional<InterfaceFacts> interface;
  std::optional<uint32_t> queue;  // of the interface
  std::optional<absl::StatusOr<QueueFacts>> queue_facts;
  std::optional<absl::Status> device_trial;       // TryInterfaceQueue
  std::optional<absl::Status> device_less_trial;  // TryDeviceLess

  // Of the directory: an error when no file can be made and written there.
  std::optional<absl::StatusOr<DiskGeometry>> disk;
  // Of the further disks, if the directory is an archive's that has some.
  struct FurtherDisk {
    uint32_t number = 0;
    std::string directory;
    absl::StatusOr<DiskGeometry> geometry;  // or why it is not used
  };
  std::vector<FurtherDisk> further_disks = {};
};

}  // namespace sluice

#endif  // CONTROL_DOCTOR_FACTS_H_
