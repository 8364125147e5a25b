#include "control/doctor/checks.h"

#include <cerrno>
#include <functional>
#include <set>

#include "absl/status/status.h"
#include "control/doctor/test_facts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {

namespace {

using ::testing::AllOf;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::Matcher;

Matcher<Check> Ok(const std::string& found) {
  return AllOf(Field("state", &Check::state, CheckState::kOk),
               Field("found", &Check::found, HasSubstr(found)),
               Field("remedy", &Check::remedy, ""));
}
Matcher<Check> Is(CheckState state, const std::string& found, const std::string& remedy) {
  return AllOf(Field("state", &Check::state, state),
               Field("found", &Check::found, HasSubstr(found)),
               Field("remedy", &Check::remedy, HasSubstr(remedy)));
}
Matcher<Check> Warns(const std::string& found, const std::string& remedy) {
  return Is(CheckState::kWarning, found, remedy);
}
Matcher<Check> Misses(const std::string& found, const std::string& remedy) {
  return Is(CheckState::kMissing, found, remedy);
}
Matcher<Check> Skips(const std::string& found) { return Is(CheckState::kNotChecked, found, ""); }

DoctorFacts With(const std::function<void(DoctorFacts&)>& change) {
  DoctorFacts facts = GoodFacts();
  change(facts);
  return facts;
}
DoctorFacts WithKernel(const std::function<void(KernelFacts&)>& change) {
  return With([&](DoctorFacts& facts) { change(facts.kernel); });
}
DoctorFacts WithInterface(const std::function<void(InterfaceFacts&)>& change) {
  return With([&](DoctorFacts& facts) {
    facts.device_trial = absl::FailedPreconditionError("zero-copy is not possible: so; do that");
    change(*facts.interface);
  });
}
DoctorFacts WithDisk(const std::function<void(DiskGeometry&)>& change) {
  return With([&](DoctorFacts& facts) { change(**facts.disk); });
}

TEST(ChecksTest, AGoodMachineHasNothingToDo) {
  for (const Check& check : CheckAll(GoodFacts())) {
    EXPECT_EQ(check.state, CheckState::kOk) << check.name << ": " << check.found;
    EXPECT_NE(check.found, "") << check.name;
    EXPECT_EQ(check.remedy, "") << check.name;
  }
}

// Whatever is wrong, one at a time: there is something to do about it.
TEST(ChecksTest, RedAndYellowHaveARemedy) {
  std::vector<DoctorFacts> machines = {PlainFacts()};
  for (int error : {EPERM, ENOSYS, ENOMEM, EINVAL}) {
    machines.push_back(WithKernel([&](KernelFacts& kernel) { kernel.io_uring_error = error; }));
  }
  for (bool KernelFacts::* member :
       {&KernelFacts::single_issuer, &KernelFacts::defer_taskrun, &KernelFacts::cqe32,
        &KernelFacts::receive_zero_copy, &KernelFacts::write_fixed_vectored,
        &KernelFacts::incremental_buffers}) {
    machines.push_back(WithKernel([&](KernelFacts& kernel) { kernel.*member = false; }));
  }
  for (const absl::Status& status : {absl::NotFoundError("eth1 has no receive queue 9"),
                                     absl::FailedPreconditionError("down")}) {
    machines.push_back(With([&](DoctorFacts& facts) { facts.queue_facts = status; }));
  }
  machines.push_back(With([](DoctorFacts& facts) { facts.disk = absl::UnknownError("no"); }));
  for (const DoctorFacts& facts : machines) {
    bool any = false;
    for (const Check& check : CheckAll(facts)) {
      if (check.state != CheckState::kWarning && check.state != CheckState::kMissing) continue;
      any = true;
      EXPECT_NE(check.found, "") << check.name;
      EXPECT_NE(check.remedy, "") << check.name << ": " << check.found;
    }
    EXPECT_TRUE(any);
  }
}

TEST(ChecksTest, NamesAreDifferentAndAlwaysThere) {
  const std::vector<Check> good = CheckAll(GoodFacts());
  const std::vector<Check> plain = CheckAll(PlainFacts());
  ASSERT_EQ(good.size(), plain.size());
  std::set<std::string> names;
  for (size_t i = 0; i < good.size(); ++i) {
    EXPECT_EQ(good[i].name, plain[i].name);
    EXPECT_TRUE(names.insert(good[i].name).second) << good[i].name;
  }
}

TEST(KernelChecksTest, Kernel) {
  EXPECT_THAT(CheckKernel(GoodFacts()), Ok("Linux 7.3.4"));
  EXPECT_THAT(CheckKernel(PlainFacts()), Ok("Linux 6.18.44"));
  EXPECT_THAT(CheckKernel(WithKernel([](auto& kernel) { kernel.receive_zero_copy = false; })),
              Warns("Linux", "6.15"));
  EXPECT_THAT(CheckKernel(WithKernel([](auto& kernel) { kernel.incremental_buffers = false; })),
              Misses("Linux", "6.12 or newer is needed to record"));
}

TEST(KernelChecksTest, WhyThereAreNoRings) {
  const auto check = [](int error, std::optional<int> disabled) {
    return CheckIoUring(WithKernel([&](KernelFacts& kernel) {
      kernel.io_uring_error = error;
      kernel.io_uring_disabled = disabled;
    }));
  };
  EXPECT_THAT(check(0, 1), Ok("usable"));
  EXPECT_THAT(check(EPERM, 2), Misses("to all", "sysctl kernel.io_uring_disabled=0"));
  EXPECT_THAT(check(EPERM, 1), Misses("to this user", "io_uring_group"));
  EXPECT_THAT(check(EPERM, 0), Misses("seccomp", "seccomp profile"));
  EXPECT_THAT(check(EPERM, std::nullopt), Misses("seccomp", "seccomp profile"));
  EXPECT_THAT(check(ENOSYS, std::nullopt), Misses("not in this kernel", "6.12"));
  EXPECT_THAT(check(ENOMEM, std::nullopt), Misses("locked memory", "ulimit -l"));
}

TEST(KernelChecksTest, WithoutRingsNothingOfThemIsKnown) {
  const DoctorFacts facts = WithKernel([](KernelFacts& kernel) {
    kernel = KernelFacts();
    kernel.release = "6.18.44";
    kernel.io_uring_error = EPERM;
  });
  EXPECT_THAT(CheckKernel(facts), Ok("6.18.44"));
  for (const auto check :
       {&CheckRingFlags, &CheckReceiveBuffers, &CheckOperations, &CheckZeroCopyFeatures}) {
    EXPECT_THAT(check(facts), Skips("io_uring is not usable"));
  }
}

TEST(KernelChecksTest, WhatOnlyZeroCopyNeedsIsRedOnlyWhenAskedFor) {
  DoctorFacts facts = WithKernel([](KernelFacts& kernel) {
    kernel.receive_zero_copy = kernel.cqe32 = kernel.privileges.net_admin = false;
  });
  for (const auto check : {&CheckRingFlags, &CheckOperations, &CheckNetAdmin}) {
    EXPECT_EQ(check(facts).state, CheckState::kMissing);
  }
  facts.interface.reset();
  for (const auto check : {&CheckRingFlags, &CheckOperations, &CheckNetAdmin}) {
    EXPECT_EQ(check(facts).state, CheckState::kWarning);
  }
}

TEST(KernelChecksTest, FlagsAndOperationsAreNamed) {
  EXPECT_EQ(CheckRingFlags(GoodFacts()).found, "SINGLE_ISSUER, DEFER_TASKRUN, CQE32, CQE_MIXED");
  EXPECT_EQ(CheckOperations(GoodFacts()).found, "RECV_ZC, WRITEV_FIXED");
  EXPECT_EQ(
      CheckOperations(WithKernel([](auto& kernel) { kernel.receive_zero_copy = false; })).found,
      "WRITEV_FIXED; not RECV_ZC");
  EXPECT_THAT(CheckRingFlags(WithKernel([](auto& kernel) { kernel.cqe_mixed = false; })),
              Ok("not CQE_MIXED"));
  EXPECT_EQ(CheckZeroCopyFeatures(PlainFacts()).found, "none of device-less, flush, events");
  EXPECT_THAT(CheckZeroCopyFeatures(PlainFacts()), Warns("none", "7.2"));
  EXPECT_EQ(CheckZeroCopyFeatures(GoodFacts()).found, "device-less, flush, events");
}

TEST(KernelChecksTest, LockedMemory) {
  const auto check = [](bool capability, bool initial, std::optional<uint64_t> limit) {
    return CheckLockedMemory(WithKernel([&](KernelFacts& kernel) {
      kernel.privileges.ipc_lock = capability;
      kernel.privileges.initial_user_namespace = initial;
      kernel.privileges.locked_bytes_max = limit;
    }));
  };
  EXPECT_THAT(check(true, true, 0), Ok("CAP_IPC_LOCK"));
  EXPECT_THAT(check(true, false, MiB(8).value), Warns("at most 8 MiB", "LimitMEMLOCK"));
  EXPECT_THAT(check(false, true, KiB(64).value), Warns("at most 64 KiB", "136 MiB"));
  EXPECT_THAT(check(false, true, std::nullopt), Ok("no limit"));
  EXPECT_THAT(check(false, true, GiB(1).value), Ok("at most 1024 MiB"));
}

TEST(KernelChecksTest, HugePages) {
  const auto check = [](const HugePages& pages) {
    return CheckHugePages(WithKernel([&](KernelFacts& kernel) { kernel.huge_pages = pages; }));
  };
  EXPECT_THAT(check({64, 32, MiB(2), "never"}), Ok("32 of 64 free, 2 MiB each"));
  EXPECT_THAT(check({0, 0, MiB(2), "madvise"}), Ok("transparent: madvise"));
  EXPECT_THAT(check({64, 31, MiB(2), "never"}), Warns("31 of 64", "vm.nr_hugepages=32"));
  EXPECT_THAT(check({0, 0, GiB(1), "never"}), Warns("0 of 0", "vm.nr_hugepages=1`"));
  EXPECT_THAT(check({0, 0, {0}, ""}), Warns("none", "kernel with huge pages"));
}

TEST(KernelChecksTest, NetAdminInAnotherUserNamespace) {
  const auto check = [](bool effective, bool initial) {
    return CheckNetAdmin(WithKernel([&](KernelFacts& kernel) {
      kernel.privileges.net_admin = effective;
      kernel.privileges.initial_user_namespace = initial;
    }));
  };
  EXPECT_THAT(check(true, true), Ok("in effect"));
  EXPECT_THAT(check(false, true), Misses("not in effect", "setcap"));
  EXPECT_THAT(check(true, false), Misses("only in a user namespace", "outside"));
  EXPECT_THAT(check(false, false), Misses("in a user namespace", "outside"));
}

TEST(DeviceChecksTest, Interface) {
  EXPECT_THAT(CheckInterface(GoodFacts()), Ok("eth1, up, driver bnxt_en, 8 receive queues"));
  EXPECT_THAT(CheckInterface(PlainFacts()), Skips("no --interface"));
  EXPECT_THAT(CheckInterface(WithInterface([](auto& it) { it.up = false; })),
              Misses("eth1, down", "ip link set eth1 up"));
  EXPECT_THAT(CheckInterface(WithInterface([](auto& it) { it.driver = {"virtio_net", true}; })),
              Misses("virtio_net, 8 receive queues: the driver lends no queues", "bnxt_en"));
  EXPECT_THAT(CheckInterface(WithInterface([](auto& it) {
                it.driver = {};
                it.receive_queues = 1;
              })),
              Misses("eth1, up, 1 receive queue: not a network card", "mlx5_core"));
  // The trial knows better than a list.
  EXPECT_THAT(CheckInterface(With([](auto& facts) { facts.interface->driver = {"new", true}; })),
              Ok("driver new"));
}

TEST(DeviceChecksTest, HeaderSplit) {
  const auto check = [](HeaderSplit split, std::optional<uint32_t> threshold, const char* driver) {
    return CheckHeaderSplit(WithInterface([&](InterfaceFacts& interface) {
      interface.header_split = split;
      interface.header_split_threshold = threshold;
      interface.driver.name = driver;
    }));
  };
  EXPECT_THAT(check(HeaderSplit::kOn, 0, "bnxt_en"), Ok("on"));
  EXPECT_THAT(check(HeaderSplit::kOn, std::nullopt, "gve"), Ok("on"));
  EXPECT_THAT(check(HeaderSplit::kOn, 256, "bnxt_en"),
              Misses("longer than 256", "`ethtool -G eth1 tcp-data-split on hds-thresh 0`"));
  EXPECT_THAT(check(HeaderSplit::kOff, std::nullopt, "gve"),
              Misses("off", "`ethtool -G eth1 tcp-data-split on`"));
  EXPECT_THAT(check(HeaderSplit::kUnknown, std::nullopt, "bnxt_en"), Misses("not set", "ethtool"));
  EXPECT_THAT(check(HeaderSplit::kUnknown, std::nullopt, "veth"),
              Misses("not set", "see interface"));
}

TEST(DeviceChecksTest, Queue) {
  EXPECT_THAT(CheckQueue(GoodFacts()), Ok("number 7 is there, NAPI 531"));
  EXPECT_THAT(CheckQueue(With([](auto& facts) { facts.queue.reset(); })), Skips("no --queue"));
  EXPECT_THAT(CheckQueue(PlainFacts()), Skips("no --interface"));
  const auto check = [](const absl::StatusOr<QueueFacts>& queue) {
    return CheckQueue(With([&](DoctorFacts& facts) { facts.queue_facts = queue; }));
  };
  EXPECT_THAT(check(QueueFacts{}), Ok("without NAPI"));
  EXPECT_THAT(check(absl::NotFoundError("eth1 has no receive queue 7")),
              Misses("no receive queue 7", "ethtool -L eth1"));
  EXPECT_THAT(check(absl::FailedPreconditionError("eth1 is down")), Misses("down", "ip link set"));
  EXPECT_THAT(check(absl::UnimplementedError("Linux 6.8")), Skips("Linux 6.8"));
  EXPECT_THAT(CheckQueue(With([](auto& facts) { facts.interface->receive_queues = 1; })),
              Warns("the only one", "combined N"));
  // Nothing is taken from the traffic of what lends no queue.
  EXPECT_THAT(CheckQueue(WithInterface([](auto& interface) {
                interface.driver = {};
                interface.receive_queues = 1;
              })),
              Ok("number 7 is there"));
}

TEST(DeviceChecksTest, WhoHasTheQueue) {
  const auto check = [](QueueUser user) {
    return CheckQueueIsFree(With([&](DoctorFacts& facts) { (*facts.queue_facts)->user = user; }));
  };
  EXPECT_THAT(check(QueueUser::kKernel), Ok("nobody"));
  EXPECT_THAT(check(QueueUser::kIoUring), Misses("io_uring", "another queue"));
  EXPECT_THAT(check(QueueUser::kDmabuf), Misses("dmabuf", "another queue"));
  EXPECT_THAT(check(QueueUser::kXsk), Misses("AF_XDP", "another queue"));
  EXPECT_THAT(check(QueueUser::kLeased), Misses("another interface", "another queue"));
  EXPECT_THAT(
      CheckQueueIsFree(With([](auto& facts) { facts.queue_facts = absl::NotFoundError("none"); })),
      Skips("no such queue"));
}

TEST(DeviceChecksTest, Xdp) {
  EXPECT_THAT(CheckXdp(GoodFacts()), Ok("no program"));
  EXPECT_THAT(CheckXdp(WithInterface([](auto& interface) { interface.xdp = true; })),
              Misses("attached", "ip link set eth1 xdp off"));
}

TEST(DeviceChecksTest, TrialsSplitCauseFromRemedy) {
  EXPECT_THAT(CheckDeviceTrial(GoodFacts()), Ok("lent"));
  const Check refused = CheckDeviceTrial(WithInterface([](auto&) {}));
  EXPECT_EQ(refused.state, CheckState::kMissing);
  EXPECT_EQ(refused.found, "zero-copy is not possible: so");
  EXPECT_EQ(refused.remedy, "do that");
  EXPECT_EQ(CheckDeviceTrial(With([](auto& facts) {
              facts.device_trial = absl::ResourceExhaustedError("no memory");
            })).remedy,
            "see the checks above");
  EXPECT_THAT(CheckDeviceLessTrial(GoodFacts()), Ok("works"));
  EXPECT_THAT(CheckDeviceLessTrial(PlainFacts()), Warns("does not have it", "Linux 7.2"));
  EXPECT_THAT(CheckDeviceTrial(With([](auto& facts) { facts.device_trial.reset(); })),
              Skips("no zero-copy receive"));
}

TEST(DiskChecksTest, Disk) {
  EXPECT_THAT(CheckDisk(GoodFacts()), Ok("nvme0n1, direct I/O"));
  EXPECT_THAT(CheckDisk(PlainFacts()), Skips("no --archive"));
  EXPECT_THAT(CheckDisk(WithDisk([](auto& disk) { disk.direct = false; })),
              Warns("page cache", "ext4"));
  const DoctorFacts refused =
      With([](auto& facts) { facts.disk = absl::PermissionDeniedError("make a file in /d: no"); });
  EXPECT_THAT(CheckDisk(refused), Misses("make a file in /d", "writable"));
  EXPECT_THAT(CheckAlignment(refused), Skips("nothing can be written"));
  EXPECT_THAT(CheckWriteLimits(refused), Skips("nothing can be written"));
}

TEST(DiskChecksTest, FurtherDisks) {
  const DoctorFacts facts = With([](auto& facts) {
    DiskGeometry strict = **facts.disk;
    strict.memory_align = 512;
    facts.further_disks = {{1, "/mnt/b", *facts.disk},
                           {2, "/mnt/c", absl::UnavailableError("it is not there: is it mounted?")},
                           {3, "/mnt/d", strict}};
  });
  const std::vector<Check> checks = CheckFurtherDisks(facts);
  ASSERT_EQ(checks.size(), 3u);
  EXPECT_EQ(checks[0].name, "disk 1");
  EXPECT_THAT(checks[0], Ok("/mnt/b: nvme0n1, direct I/O"));
  EXPECT_THAT(checks[1], Warns("/mnt/c: it is not there", "add-disk"));
  EXPECT_THAT(checks[2], Warns("memory 512", "strictest"));
  EXPECT_EQ(CheckAll(facts).size(), CheckAll(GoodFacts()).size() + 3);
}

TEST(DiskChecksTest, Alignment) {
  EXPECT_EQ(CheckAlignment(GoodFacts()).found, "memory 4, file 512, no virtual boundary");
  EXPECT_THAT(CheckAlignment(WithDisk([](auto& disk) { disk.virt_boundary = 4095; })),
              Warns("virtual boundary 4096", "Linux 7.2"));
  EXPECT_THAT(CheckAlignment(WithDisk([](auto& disk) { disk.memory_align = 4096; })),
              Warns("memory 4096", "copied for this disk"));
  EXPECT_THAT(CheckAlignment(WithDisk([](auto& disk) { disk.virt_boundary = 65535; })),
              Misses("65536", "4096"));
}

TEST(DiskChecksTest, WriteLimits) {
  EXPECT_EQ(CheckWriteLimits(GoodFacts()).found, "1024 KiB and 128 ranges a write");
  EXPECT_THAT(CheckWriteLimits(WithDisk([](auto& disk) { disk.write_bytes_max = 65536; })),
              Warns("64 KiB", "max_sectors_kb"));
  EXPECT_THAT(CheckWriteLimits(WithDisk([](auto& disk) { disk.ranges_max = 8; })),
              Warns("8 ranges", "split"));
}

}  // namespace
}  // namespace sluice
