#include "control/doctor/diagnosis.h"

#include <cerrno>

#include "absl/status/status.h"
#include "control/doctor/test_facts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST(DiagnosisTest, AGoodMachineReceivesWithoutCopies) {
  const Diagnosis diagnosis = Diagnose(GoodFacts());
  EXPECT_EQ(diagnosis.receiver, ExpectedReceiver::kZeroCopy);
  EXPECT_EQ(diagnosis.reason, "");
  EXPECT_EQ(diagnosis.amplification, 1.0);
  EXPECT_THAT(diagnosis.amplification_reason, HasSubstr("1448 bytes are written as the 1448"));
  EXPECT_EQ(diagnosis.checks.size(), CheckAll(GoodFacts()).size());
}

TEST(DiagnosisTest, WithoutACardItCopies) {
  DoctorFacts facts = PlainFacts();
  Diagnosis diagnosis = Diagnose(facts);
  EXPECT_EQ(diagnosis.receiver, ExpectedReceiver::kCopy);
  EXPECT_THAT(diagnosis.reason, HasSubstr("--interface"));
  EXPECT_EQ(diagnosis.amplification, 1.0);
  facts.disk = DiskGeometry();
  diagnosis = Diagnose(facts);
  EXPECT_EQ(diagnosis.amplification, 1.0);
  EXPECT_THAT(diagnosis.amplification_reason, HasSubstr("1.06 on this disk"));
}

TEST(DiagnosisTest, TheTrialsSentenceIsTheReason) {
  DoctorFacts facts = GoodFacts();
  facts.device_trial = absl::FailedPreconditionError("zero-copy is not possible: so; do that");
  const Diagnosis diagnosis = Diagnose(facts);
  EXPECT_EQ(diagnosis.receiver, ExpectedReceiver::kCopy);
  EXPECT_EQ(diagnosis.reason, "zero-copy is not possible: so; do that");
}

TEST(DiagnosisTest, AnOldKernelIsTheReason) {
  DoctorFacts facts = GoodFacts();
  facts.kernel.release = "6.12.9";
  facts.kernel.receive_zero_copy = false;
  facts.device_trial.reset();
  const Diagnosis diagnosis = Diagnose(facts);
  EXPECT_EQ(diagnosis.receiver, ExpectedReceiver::kCopy);
  EXPECT_THAT(diagnosis.reason, HasSubstr("6.12.9"));
  EXPECT_THAT(diagnosis.reason, HasSubstr("6.15"));
}

TEST(DiagnosisTest, WithoutRingsBuffersOrADiskNothingIsRecorded) {
  const auto expect_none = [](const DoctorFacts& facts, const std::string& says) {
    const Diagnosis diagnosis = Diagnose(facts);
    EXPECT_EQ(diagnosis.receiver, ExpectedReceiver::kNone);
    EXPECT_THAT(diagnosis.reason, HasSubstr("recording is not possible"));
    EXPECT_THAT(diagnosis.reason, HasSubstr(says));
    EXPECT_EQ(diagnosis.amplification, std::nullopt);
  };
  DoctorFacts facts = GoodFacts();
  facts.kernel.io_uring_error = EPERM;
  expect_none(facts, "seccomp");
  facts = GoodFacts();
  facts.kernel.incremental_buffers = false;
  expect_none(facts, "IOU_PBUF_RING_INC");
  facts = GoodFacts();
  facts.kernel.defer_taskrun = false;
  expect_none(facts, "not DEFER_TASKRUN");
  facts = GoodFacts();
  facts.disk = absl::PermissionDeniedError("make a file in /d: Permission denied");
  expect_none(facts, "/d: Permission denied");
  facts = GoodFacts();
  (*facts.disk)->virt_boundary = 65535;
  expect_none(facts, "65536");
}

TEST(DiagnosisTest, ZeroCopyWithoutADiskIsNotJudged) {
  DoctorFacts facts = GoodFacts();
  facts.disk.reset();
  const Diagnosis diagnosis = Diagnose(facts);
  EXPECT_EQ(diagnosis.receiver, ExpectedReceiver::kZeroCopy);
  EXPECT_EQ(diagnosis.amplification, std::nullopt);
  EXPECT_THAT(diagnosis.amplification_reason, HasSubstr("--archive"));
}

TEST(AmplificationTest, IsTheEnclosingRange) {
  EXPECT_EQ(ZeroCopyAmplification(1).enclosing, 1448u);
  EXPECT_EQ(ZeroCopyAmplification(1).enclosing_max, 1448u);
  EXPECT_EQ(ZeroCopyAmplification(4).enclosing, 1448u);
  EXPECT_EQ(ZeroCopyAmplification(4).enclosing_max, 1452u);
  EXPECT_FALSE(ZeroCopyAmplification(4).packed_at_times);
  EXPECT_EQ(ZeroCopyAmplification(512).enclosing, 1536u);
  EXPECT_NEAR(ZeroCopyAmplification(512).factor(), 1.06, 0.005);
}

// Not more than the extent builder lets through: it copies instead.
TEST(AmplificationTest, TooMuchIsPacked) {
  EXPECT_EQ(ZeroCopyAmplification(512).enclosing_max, 2048u);
  EXPECT_FALSE(ZeroCopyAmplification(512).packed);
  EXPECT_TRUE(ZeroCopyAmplification(512).packed_at_times);
  EXPECT_EQ(ZeroCopyAmplification(4096).enclosing, 4096u);
  EXPECT_TRUE(ZeroCopyAmplification(4096).packed);
  EXPECT_EQ(ZeroCopyAmplification(4096).factor(), 1);
}

TEST(AmplificationTest, TheReasonSaysSo) {
  const auto reason = [](uint32_t memory_align, uint64_t virt_boundary) {
    DoctorFacts facts = GoodFacts();
    (*facts.disk)->memory_align = memory_align;
    (*facts.disk)->virt_boundary = virt_boundary;
    return Diagnose(facts).amplification_reason;
  };
  EXPECT_EQ(reason(4, 0),
            "a packet's 1448 bytes are written as the 1448 around them, in units of 4 (1452 where "
            "they begin within a unit)");
  EXPECT_THAT(reason(512, 0), HasSubstr("the 1536 around them, in units of 512 (or packed"));
  EXPECT_THAT(reason(4, 4095), HasSubstr("would be written as the 4096 around them"));
  EXPECT_THAT(reason(4, 4095), HasSubstr("packed instead"));
}

TEST(AmplificationTest, WhenCopyingTheDiskIsJudgedForZeroCopy) {
  DoctorFacts facts = PlainFacts();
  facts.disk = DiskGeometry();
  (*facts.disk)->memory_align = 4096;
  EXPECT_THAT(Diagnose(facts).amplification_reason, HasSubstr("would copy, too"));
}

}  // namespace
}  // namespace sluice
