#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "control/cli/byte_source.h"
#include "control/cli/command.h"
#include "control/query/stream_reader.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive.h"
#include "writer/catalog/catalog.h"
#include "writer/segment/file_io.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

constexpr ByteCount kChunk = MiB(1);
// Asking takes as long as reading some ten KiB.
constexpr uint64_t kReadsPerSignalCheck = 16;
// How often the catalog is looked at for more.
constexpr absl::Duration kPoll = absl::Milliseconds(50);

class FileByteSource final : public ByteSource {
 public:
  FileByteSource(std::string archive, std::unique_ptr<Catalog> catalog,
                 std::unique_ptr<StreamReader> reader, const ByteRange& range, SignalWatch& signals)
      : archive_(std::move(archive)),
        catalog_(std::move(catalog)),
        reader_(std::move(reader)),
        begin_(reader_->position()),
        end_{range.limit ? begin_.value + range.limit->value
                         : std::numeric_limits<uint64_t>::max()},
        follow_(range.follow),
        signals_(&signals),
        buffer_(kChunk.value) {}

  absl::StatusOr<StreamPiece> Next() override {
    bool last_look = false;
    while (true) {
      const uint64_t left = (std::max(end_, reader_->position()) - reader_->position()).value;
      if (reads_++ % kReadsPerSignalCheck == 0 && signals_->Wait(absl::ZeroDuration()) != 0) {
        return absl::CancelledError("interrupted");
      }
      SLUICE_ASSIGN_OR_RETURN(const size_t n, reader_->Read(buffer_.span().subspan(
                                                  0, std::min<uint64_t>(left, buffer_.size()))));
      if (n > 0) return StreamPiece{buffer_.span().subspan(0, n), std::nullopt};
      if (left == 0) return StreamPiece{};
      if (reader_->gap()) {
        StreamGap gap = *reader_->gap();
        gap.end = std::min(gap.end, end_);
        reader_->SkipGap();
        return StreamPiece{{}, gap};
      }
      if (reader_->ended()) return StreamPiece{};
      // A closed stream that lacks bytes will have them in a moment: a disk write was repeated.
      if (!follow_ && reader_->stream().open) return StreamPiece{};
      if (last_look) return AtRest();
      // A writer publishes everything before it lets go of the archive: look once more.
      last_look = absl::IsNotFound(Archive::Holder(archive_).status());
      if (!last_look && signals_->Wait(kPoll) != 0) return absl::CancelledError("interrupted");
    }
  }

  StreamOffset begin() const override { return begin_; }
  ByteCount total() const override {
    return std::max(begin_, std::min(end_, reader_->stream().durable)) - begin_;
  }

 private:
  // Nobody writes, and nothing more is there.
  absl::StatusOr<StreamPiece> AtRest() const {
    if (reader_->stream().open) {
      Note(absl::StrCat("nobody records into ", archive_, " any more; the stream was not closed"));
      return StreamPiece{};
    }
    return absl::DataLossError(absl::StrCat("stream ", StreamIdToString(reader_->stream().id),
                                            ": the bytes from offset ", reader_->position().value,
                                            " are missing"));
  }

  const std::string archive_;
  const std::unique_ptr<Catalog> catalog_;
  const std::unique_ptr<StreamReader> reader_;
  const StreamOffset begin_;
  const StreamOffset end_;
  const bool follow_;
  SignalWatch* const signals_;
  uint64_t reads_ = 0;
  AlignedBuffer buffer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ByteSource>> OpenFiles(const std::string& archive,
                                                      const StreamArgument& stream,
                                                      const ByteRange& range,
                                                      SignalWatch& signals) {
  SLUICE_RETURN_IF_ERROR(PrepareFiles(archive));
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<Catalog> catalog,
                          Catalog::Open(Archive::CatalogPath(archive), Catalog::Mode::kReadOnly));
  SLUICE_ASSIGN_OR_RETURN(const StreamRow row, catalog->Stream(stream.stream));
  if (!stream.recording.empty() && stream.recording != row.recording) {
    return absl::NotFoundError(absl::StrCat("stream ", StreamIdToString(stream.stream),
                                            " is one of recording ", row.recording, ", not of ",
                                            stream.recording));
  }
  SLUICE_ASSIGN_OR_RETURN(
      std::unique_ptr<StreamReader> reader,
      StreamReader::Open(archive, *catalog, stream.stream, range.from.value_or(row.begin)));
  if (reader->position() > reader->stream().durable && !range.follow) {
    return absl::OutOfRangeError(absl::StrCat("offset ", reader->position().value,
                                              " is not there yet: ", reader->stream().durable.value,
                                              " bytes are durable; --follow waits for more"));
  }
  return std::unique_ptr<ByteSource>(std::make_unique<FileByteSource>(
      archive, std::move(catalog), std::move(reader), range, signals));
}

}  // namespace sluice
