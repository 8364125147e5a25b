#include "writer/archive/retention_reader.h"

#include "absl/strings/str_cat.h"
#include "ingest/status_macros.h"
#include "writer/archive/policy_file.h"
#include "writer/stream_id.h"

namespace sluice {

absl::StatusOr<Selection> Select(Catalog& catalog, const Selector& selector) {
  Selection selection;
  if (selector.recording.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<RecordingRow> rows, catalog.Recordings());
    for (const RecordingRow& row : rows) {
      selection.active |= row.state == RecordingState::kRecording;
    }
    return selection;
  }
  SLUICE_ASSIGN_OR_RETURN(const RecordingRow recording, catalog.Recording(selector.recording));
  selection.active = recording.state == RecordingState::kRecording;
  if (!selector.stream) return selection;
  SLUICE_ASSIGN_OR_RETURN(const StreamRow stream, catalog.Stream(*selector.stream));
  if (stream.recording != selector.recording) {
    return absl::NotFoundError(absl::StrCat("stream ", StreamIdToString(*selector.stream),
                                            " is of recording \"", stream.recording, "\", not \"",
                                            selector.recording, "\""));
  }
  selection.active = stream.open;
  SLUICE_ASSIGN_OR_RETURN(const std::vector<StreamPart> parts,
                          catalog.StreamParts(*selector.stream));
  for (const StreamPart& part : parts) selection.parts.push_back(part.segment);
  return selection;
}

RetentionSegment RetentionSegmentOf(const SegmentRow& row) {
  RetentionSegment segment;
  segment.id = row.id;
  segment.recording_uid = row.recording_uid;
  segment.recording = row.recording;
  segment.lane = row.lane;
  segment.sealed = row.sealed;
  segment.written = row.durable;
  segment.payload = row.payload;
  segment.first_time = row.first_time;
  segment.last_time = row.last_time;
  return segment;
}

absl::StatusOr<Retention> ReadRetention(const std::string& directory, const ArchiveMeta& meta,
                                        Catalog& catalog) {
  absl::StatusOr<RetentionPolicy> policy = ReadPolicyFile(directory);
  if (absl::IsNotFound(policy.status())) policy = RetentionPolicy();
  SLUICE_RETURN_IF_ERROR(policy.status());
  Retention retention(meta.segment, meta.segment_count);
  retention.SetClasses(policy->classes);
  SLUICE_ASSIGN_OR_RETURN(const std::vector<RecordingRow> recordings, catalog.Recordings());
  for (const RecordingRow& row : recordings) {
    retention.SetRecording(row.uid, row.id, row.retention_class);
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<SegmentRow> rows, catalog.Segments());
  for (const SegmentRow& row : rows) retention.Add(RetentionSegmentOf(row));
  for (const Hold& hold : policy->holds) {
    absl::StatusOr<Selection> selection = Select(catalog, hold.selector);
    if (absl::IsNotFound(selection.status())) selection = Selection{};
    SLUICE_RETURN_IF_ERROR(selection.status());
    retention.RestoreHold(hold, selection->parts, selection->active);
  }
  return retention;
}

}  // namespace sluice
