#include "control/doctor/read_facts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "ingest/probe/trial.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/archive/disk_status.h"
#include "writer/extent/format.h"
#include "writer/segment/file_io.h"

namespace sluice {
namespace {

// How long the kernel may take to end a trial.
constexpr absl::Duration kReturnLimit = absl::Seconds(5);
constexpr absl::Duration kLookAgain = absl::Milliseconds(10);

absl::StatusOr<InterfaceFacts> AskFor(const std::string& interface) {
  absl::StatusOr<InterfaceFacts> facts = ReadInterface(interface);
  // Here the name is the user's.
  if (absl::IsNotFound(facts.status())) return absl::InvalidArgumentError(facts.status().message());
  return facts;
}

// The kernel takes the queue back some time after the trial's ring was closed.
void AwaitReturn(const std::string& interface, uint32_t queue) {
  const absl::Time end = absl::Now() + kReturnLimit;
  while (absl::Now() < end) {
    const absl::StatusOr<QueueFacts> facts = ReadQueue(interface, queue);
    if (!facts.ok() || facts->user != QueueUser::kIoUring) return;
    absl::SleepFor(kLookAgain);
  }
}

void TryQueue(DoctorFacts* facts) {
  const std::string& interface = facts->interface->name;
  facts->queue_facts = ReadQueue(interface, *facts->queue);
  if (!facts->kernel.receive_zero_copy || !facts->kernel.cqe32) return;
  facts->device_trial = TryInterfaceQueue(interface, *facts->queue);
  if (facts->device_trial->ok()) AwaitReturn(interface, *facts->queue);
}

absl::Status CheckDirectory(const std::string& directory) {
  if (directory.empty()) {
    return absl::InvalidArgumentError("the name of the archive's directory is empty");
  }
  struct stat info = {};
  if (stat(directory.c_str(), &info) != 0 && errno == ENOENT) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no directory ", directory,
                     ": create it, or name the one in which the archive will be"));
  }
  if (info.st_mode != 0 && !S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(directory, " is not a directory"));
  }
  return absl::OkStatus();  // what else there is to say says the disk
}

// Without a name, or with one that is gone at once.
int OpenNameless(const std::string& directory, int flags) {
  const int fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | flags, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) return fd;
  std::string path = directory + "/doctor-XXXXXX";
  const int named = mkostemp(path.data(), O_CLOEXEC | flags);
  if (named >= 0) unlink(path.c_str());
  return named;
}

// None, if there is no archive yet.
std::vector<DoctorFacts::FurtherDisk> ProbeFurtherDisks(const std::string& directory) {
  std::vector<DoctorFacts::FurtherDisk> disks;
  const absl::StatusOr<ArchiveMeta> meta = Archive::ReadMeta(directory);
  if (!meta.ok()) return disks;
  for (const DiskStatus& disk : LookAtDisks(directory, *meta)) {
    if (disk.number == 0) continue;
    disks.push_back({disk.number, disk.directory, absl::UnavailableError(disk.problem)});
    if (disk.in_use()) disks.back().geometry = ProbeDirectory(disk.directory);
  }
  return disks;
}

}  // namespace

absl::StatusOr<DiskGeometry> ProbeDirectory(const std::string& directory) {
  UniqueFd fd(OpenNameless(directory, O_DIRECT));
  const bool opened_direct = fd.get() >= 0;
  if (!opened_direct && errno == EINVAL) fd = UniqueFd(OpenNameless(directory, 0));
  if (fd.get() < 0) return FileError("make a file in", directory, errno);
  const AlignedBuffer block(kBlockBytes);
  SLUICE_RETURN_IF_ERROR(WriteFully(fd.get(), "a file in " + directory, {0}, block.span()));
  SLUICE_ASSIGN_OR_RETURN(DiskGeometry geometry, DiskGeometry::Probe(fd.get()));
  geometry.direct = geometry.direct && opened_direct;
  return geometry;
}

absl::StatusOr<DoctorFacts> ReadFacts(const DoctorQuestion& question) {
  DoctorFacts facts;
  if (question.directory) SLUICE_RETURN_IF_ERROR(CheckDirectory(*question.directory));
  if (question.interface) {
    SLUICE_ASSIGN_OR_RETURN(facts.interface, AskFor(*question.interface));
    facts.queue = question.queue;
  }
  facts.kernel = ProbeKernel();
  if (facts.queue) TryQueue(&facts);
  if (facts.kernel.receive_zero_copy && facts.kernel.cqe32) {
    facts.device_less_trial = TryDeviceLess();
  }
  if (question.directory) {
    facts.disk = ProbeDirectory(*question.directory);
    facts.further_disks = ProbeFurtherDisks(*question.directory);
  }
  return facts;
}

}  // namespace sluice
