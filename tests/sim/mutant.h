// Mistakes that a simulation must find: each is made by the simulated world, or between it and the
// real parts. Production code knows nothing of them.
#ifndef TESTS_SIM_MUTANT_H_
#define TESTS_SIM_MUTANT_H_

namespace sluice {

enum class Mutant {
  kNone,
  // The kernel and the disk.
  kSyncDoesNothing,     // and says that it has
  kWriteMisplaced,      // by a block, now and then
  kWriteReportedEarly,  // its memory is still being read
  kReceiveLost,         // a completion of a receive
  kFooterLost,          // what is written to the end of a file
  kDurableByteDecays,   // while the power is off
  // The archive's files.
  kHeaderLost,
  kHeaderNotSynced,
  // What the keeper is told, and what it answers.
  kMarkTooHigh,      // what is published as durable is not yet
  kPublicationLost,  // now and then
  kOpenSegmentLent,  // to a second track
  kGapNotTold,       // of bytes that were dropped
  // The next start.
  kEpochNotRaised,   // in the names of streams
  kIdsFromTheStart,  // of segments
  kRecoveryLeftOut,
  kCatalogTooOld,  // it has lost more than it may
  // What people asked to be kept.
  kHoldForgotten,       // at a start
  kPolicyNotSaved,      // before it was in force
  kRemovalNotRecorded,  // in the catalog
  kClockAhead,          // that retention goes by
};

inline constexpr struct {
  Mutant mutant;
  const char* name;
} kMutants[] = {
    {Mutant::kSyncDoesNothing, "SyncDoesNothing"},
    {Mutant::kWriteMisplaced, "WriteMisplaced"},
    {Mutant::kWriteReportedEarly, "WriteReportedEarly"},
    {Mutant::kReceiveLost, "ReceiveLost"},
    {Mutant::kFooterLost, "FooterLost"},
    {Mutant::kDurableByteDecays, "DurableByteDecays"},
    {Mutant::kHeaderLost, "HeaderLost"},
    {Mutant::kHeaderNotSynced, "HeaderNotSynced"},
    {Mutant::kMarkTooHigh, "MarkTooHigh"},
    {Mutant::kPublicationLost, "PublicationLost"},
    {Mutant::kOpenSegmentLent, "OpenSegmentLent"},
    {Mutant::kGapNotTold, "GapNotTold"},
    {Mutant::kEpochNotRaised, "EpochNotRaised"},
    {Mutant::kIdsFromTheStart, "IdsFromTheStart"},
    {Mutant::kRecoveryLeftOut, "RecoveryLeftOut"},
    {Mutant::kCatalogTooOld, "CatalogTooOld"},
    {Mutant::kHoldForgotten, "HoldForgotten"},
    {Mutant::kPolicyNotSaved, "PolicyNotSaved"},
    {Mutant::kRemovalNotRecorded, "RemovalNotRecorded"},
    {Mutant::kClockAhead, "ClockAhead"},
};

}  // namespace sluice

#endif  // TESTS_SIM_MUTANT_H_
