#include "writer/archive/verify_history.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace sluice {
namespace {

std::string Hex(const Sha256& hash) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(hash.data()), hash.size()});
}

uint64_t Number(SegmentId id) { return static_cast<uint64_t>(id); }

std::string Time(UnixNanos time) {
  return absl::FormatTime(absl::RFC3339_sec, absl::FromUnixNanos(time.value), absl::UTCTimeZone());
}

}  // namespace

void VerifyHistory::Add(const SegmentRow& row, const std::string& recording,
                        const SegmentResult& result) {
  Segment& segment = tracks_[{row.recording_uid, static_cast<uint16_t>(row.lane)}][Number(row.id)];
  segment.epoch = row.epoch;
  segment.recording = recording;
  segment.sealed = result.sealed;
  segment.sealed_by_recovery = result.sealed_by_recovery;
  segment.origin = result.origin;
  segment.footer = result.footer_sha256;
  segment.ledger = result.ledger;
  segment.payload = result.payload;
}

const RemovalRow* VerifyHistory::RemovalOf(const Track& track, uint64_t id) const {
  const auto at = std::find_if(removals_.begin(), removals_.end(), [&](const RemovalRow& row) {
    return row.recording_uid == track.first && static_cast<uint16_t>(row.lane) == track.second &&
           Number(row.first) <= id && id <= Number(row.last);
  });
  return at == removals_.end() ? nullptr : &*at;
}

void VerifyHistory::CheckLink(const Track& track, uint64_t id, const Segment& segment,
                              const Say& find, const Say& note) const {
  const SegmentLink& previous = segment.origin.previous;
  const uint64_t before = Number(previous.id);
  if (before == 0 || unknown_.contains(before)) return;
  const std::string name = absl::StrCat("segment ", before, " of recording \"", segment.recording,
                                        "\" on lane ", track.second);
  const auto& segments = tracks_.at(track);
  const auto there = segments.find(before);
  if (there == segments.end()) {
    if (RemovalOf(track, before) != nullptr) return;
    if (imported_) {
      return note(absl::StrCat(name, ", which segment ", id, " follows, was not imported"));
    }
    // Before the loss a removal may have been recorded, but of the oldest first: in the middle of
    // what was there, it takes more than a lost catalog.
    const bool before_loss = loss_.time.value != 0 && before <= Number(loss_.last);
    if (before_loss && segments.begin()->first == id) {
      return note(absl::StrCat(name, ", which segment ", id, " follows, is not here: whether it ",
                               "was removed in good order is unknown since the catalog was lost, ",
                               "and made anew at ", Time(loss_.time)));
    }
    return find(absl::StrCat(name, " is missing: segment ", id,
                             " proves that it was there, and no removal is recorded"));
  }
  const Sha256& actual = there->second.footer;
  if (previous.footer == Sha256{} || actual == Sha256{} || actual == previous.footer) return;
  if (there->second.sealed_by_recovery) {
    return note(absl::StrCat(name, " was cut short by a crash: segment ", id,
                             ", which was being sealed at that moment, knows it longer"));
  }
  find(absl::StrCat(name, " was altered or exchanged: its footer is not the one that segment ", id,
                    " names"));
}

void VerifyHistory::CheckChains(const Say& find, const Say& note) const {
  for (const auto& [track, segments] : tracks_) {
    for (const auto& [id, segment] : segments) CheckLink(track, id, segment, find, note);
  }
  for (const RemovalRow& row : removals_) {
    if (row.reason != RemovalReason::kMissing) continue;
    const auto track = tracks_.find({row.recording_uid, static_cast<uint16_t>(row.lane)});
    if (track != tracks_.end()) {
      const auto back = track->second.lower_bound(Number(row.first));
      if (back != track->second.end() && back->first <= Number(row.last)) continue;
    }
    find(absl::StrCat(
        row.segments == 1 ? absl::StrCat("segment ", Number(row.first))
                          : absl::StrCat(row.segments, " segments, ", Number(row.first), " to ",
                                         Number(row.last), ","),
        " of recording \"", row.recording, "\" on lane ", static_cast<uint16_t>(row.lane), " (",
        row.payload.value, " bytes) ", row.segments == 1 ? "was" : "were",
        " found missing when the archive was opened at ", Time(row.ended),
        ": nothing here removed ", row.segments == 1 ? "it" : "them"));
  }
}

void VerifyHistory::CheckHead(const SegmentLink& head, const Say& find, const Say& note) const {
  const uint64_t id = Number(head.id);
  const std::string name = absl::StrCat("segment ", id, ", which was expected,");
  for (const auto& [track, segments] : tracks_) {
    const auto there = segments.find(id);
    if (there == segments.end()) continue;
    const Segment& segment = there->second;
    if (segment.footer == head.footer) return;
    return find(absl::StrCat(
        name, segment.footer == Sha256{} ? " has no footer" : " has another footer",
        " than the one with SHA-256 ", Hex(head.footer),
        segment.footer == Sha256{} ? "" : absl::StrCat(": its own has ", Hex(segment.footer))));
  }
  if (unknown_.contains(id)) return note(absl::StrCat(name, " could not be looked at"));
  for (const RemovalRow& row : removals_) {
    if (row.reason == RemovalReason::kMissing) continue;
    if (id < Number(row.first) || id > Number(row.last)) continue;
    if (row.last == head.id && row.footer_sha256 != Sha256{} && row.footer_sha256 != head.footer) {
      return find(absl::StrCat(name, " was removed (", RemovalReasonName(row.reason),
                               "), but had another footer then: one with SHA-256 ",
                               Hex(row.footer_sha256)));
    }
    return note(absl::StrCat(name, " was removed by ", Time(row.ended), " (",
                             RemovalReasonName(row.reason), ")"));
  }
  find(absl::StrCat(name, " is not here, and no removal of it is recorded"));
}

VerifyHistory::Missing VerifyHistory::WhyGone(const Track& track, uint64_t after,
                                              uint64_t before) const {
  const auto unknown = unknown_.upper_bound(after);
  if (unknown != unknown_.end() && *unknown < before) return Missing::kUnknown;
  for (const RemovalRow& row : removals_) {
    if (Track{row.recording_uid, static_cast<uint16_t>(row.lane)} != track) continue;
    if (Number(row.last) <= after || Number(row.first) >= before) continue;
    if (row.reason == RemovalReason::kLostInCrash) return Missing::kCrash;
    if (row.reason != RemovalReason::kMissing) return Missing::kRemoved;
  }
  return Missing::kUnexplained;
}

VerifyHistory::Missing VerifyHistory::WhyMissing(uint64_t recording_uid, uint16_t lane,
                                                 uint64_t after, uint64_t before) const {
  if (imported_) return Missing::kUnknown;
  const Track track = {recording_uid, lane};
  if (const Missing why = WhyGone(track, after, before); why != Missing::kUnexplained) return why;
  const auto found = tracks_.find(track);
  if (found == tracks_.end()) return Missing::kUnexplained;
  const std::map<uint64_t, Segment>& segments = found->second;
  const auto cut = segments.find(after);
  if (cut != segments.end() && cut->second.sealed_by_recovery) return Missing::kCrash;
  // What a segment refused stands in one that follows, and what came after it may stand in the
  // first again: so the neighbours of both count, too, which may go in any order.
  const auto above = segments.upper_bound(std::max(after, before));
  const auto low = segments.lower_bound(std::min(after, before));
  return WhyGone(track, low == segments.begin() ? 0 : std::prev(low)->first,
                 above == segments.end() ? ~uint64_t{0} : above->first);
}

// Over all epochs, each of which counts from zero; those that are gone are known from removals.
Ledger VerifyHistory::TotalOf(const Track& track) const {
  std::map<uint32_t, Ledger> last;  // of each epoch that has segments
  const auto segments = tracks_.find(track);
  if (segments != tracks_.end()) {
    for (const auto& [id, segment] : segments->second) {
      Ledger& ledger = last[segment.epoch];
      if (segment.ledger.received >= ledger.received) ledger = segment.ledger;
    }
  }
  std::optional<RemovalRow> gone;
  for (const RemovalRow& row : removals_) {  // by first segment
    if (Track{row.recording_uid, static_cast<uint16_t>(row.lane)} != track) continue;
    gone = gone ? Join(*gone, row) : row;
  }
  Ledger total;
  if (gone) {
    total += gone->earlier_epochs;
    Ledger& ledger = last[gone->last_epoch];
    if (gone->ledger.received > ledger.received) ledger = gone->ledger;
  }
  for (const auto& [epoch, ledger] : last) {
    // What is kept of an epoch whose later segments went is in the sum already.
    if (gone && epoch >= gone->first_epoch && epoch < gone->last_epoch) continue;
    total += ledger;
  }
  return total;
}

std::vector<VerifyAccount> VerifyHistory::Accounts(
    const std::vector<RecordingRow>& recordings) const {
  std::map<uint64_t, VerifyAccount> accounts;
  std::set<Track> tracks;
  for (const RecordingRow& row : recordings) accounts[row.uid].recording = row.id;
  for (const auto& [track, segments] : tracks_) {
    tracks.insert(track);
    VerifyAccount& account = accounts[track.first];
    for (const auto& [id, segment] : segments) {
      if (account.recording.empty()) account.recording = segment.recording;
      ++account.segments;
      account.stored += segment.payload;
    }
  }
  for (const RemovalRow& row : removals_) {
    const auto account = accounts.find(row.recording_uid);
    if (account == accounts.end()) continue;  // a recording that was deleted
    tracks.insert({row.recording_uid, static_cast<uint16_t>(row.lane)});
    RemovedSum& sum = account->second.removed[row.reason];
    sum.segments += row.segments;
    sum.payload += row.payload;
  }
  for (const Track& track : tracks) accounts[track.first].ledger += TotalOf(track);
  std::vector<VerifyAccount> list;
  for (auto& [uid, account] : accounts) {
    account.recording_uid = uid;
    list.push_back(std::move(account));
  }
  return list;
}

}  // namespace sluice
