// What the services answer from: an archive, and the recorder that writes it, if there is one.
#ifndef CONTROL_SERVICE_SERVED_ARCHIVE_H_
#define CONTROL_SERVICE_SERVED_ARCHIVE_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "control/recorder/recorder.h"
#include "control/service/callers.h"
#include "control/service/conversion.h"
#include "writer/catalog/catalog.h"

namespace sluice {

// Thread-safe. Without a recorder it reads an archive that another process may be writing.
class ServedArchive {
 public:
  // `recorder` may be null, and otherwise outlives this.
  ServedArchive(Recorder* recorder, std::string directory)
      : recorder_(recorder), directory_(std::move(directory)) {}

  Recorder* recorder() const { return recorder_; }
  const std::string& directory() const { return directory_; }
  Callers& callers() const { return callers_; }

  // For calls that change something. FAILED_PRECONDITION when there is none: the message says who
  // does hold the archive.
  absl::StatusOr<Recorder*> RequireRecorder() const;

  // A connection for one call: connections are for one thread at a time, and cheap.
  absl::StatusOr<std::unique_ptr<Catalog>> OpenCatalog() const;

  // By the catalog, by the recorder, or by both. NOT_FOUND: neither knows it.
  absl::StatusOr<KnownRecording> Find(const std::string& id) const;
  // By id.
  absl::StatusOr<std::map<std::string, KnownRecording>> All() const;

 private:
  Recorder* const recorder_;
  const std::string directory_;
  mutable Callers callers_;
};

}  // namespace sluice

#endif  // CONTROL_SERVICE_SERVED_ARCHIVE_H_
