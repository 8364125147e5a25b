// Writes the fuzzers' seeds: real files' parts, as the recorder writes them.

#include <cstdio>
#include <fstream>
#include <string>

#include "ingest/check.h"
#include "writer/archive/archive_codec.h"
#include "writer/retention/policy_text.h"
#include "writer/segment/test_segment.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

void Write(const std::string& path, absl::Span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  SLUICE_CHECK(file.good());
  std::printf("%s: %zu bytes\n", path.c_str(), bytes.size());
}

absl::Span<const std::byte> Text(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

void WriteAll(const std::string& corpus) {
  const StreamId first = MakeStreamId({1, 0, 1});
  const StreamId second = MakeStreamId({1, 0, 2});
  TestSegmentOptions options;
  options.uuid = {0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x46, 0x69,
                  0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0};
  options.id = SegmentId{42};
  options.slot = 3;
  options.recording = "lobby";
  TestSegment segment(options);
  // The worked example of writer/FORMAT.md.
  const FileOffset example =
      segment.Add({{first, 0, "GET /"}}, {TestSegment::Open(first), TestSegment::Open(second)});
  const FileOffset ends = segment.Add({{first, 5, "index"}, {second, 0, "hello"}},
                                      {TestSegment::Close(first, 10)}, /*payload_crc=*/false);
  const FileOffset gaps = segment.Add({{second, 9, "again"}}, {TestSegment::Gap(second, 5, 4)});
  const FileOffset events = segment.Add({}, {TestSegment::Close(second, 14)});
  Write(corpus + "/segment/empty", {});
  Write(corpus + "/segment/header", segment.image().subspan(0, kBlockBytes));
  segment.Seal();
  Write(corpus + "/segment/footer",
        segment.image().subspan(segment.image().size() - segment.footer().FooterBytes()));
  Write(corpus + "/segment/footer_of_nothing",
        FooterBuilder().Build(SegmentId{7}, MiB(1), 0).span());
  Write(corpus + "/extent/example", segment.image().subspan(example.value, kBlockBytes));
  Write(corpus + "/extent/two_streams", segment.image().subspan(ends.value, kBlockBytes));
  Write(corpus + "/extent/events_only", segment.image().subspan(events.value, kBlockBytes));
  Write(corpus + "/extent/gap", segment.image().subspan(gaps.value, kBlockBytes));
  Write(corpus + "/extent/empty", {});

  ArchiveMeta meta;
  meta.uuid = options.uuid;
  meta.segment = MiB(256);
  meta.segment_count = 64;
  meta.epoch = 3;
  meta.created = {1'700'000'000'000'000'000};
  Write(corpus + "/archive/meta", EncodeMeta(meta));
  Write(corpus + "/archive/empty", {});
  meta.disks = {{.slot_count = 64},
                {.uuid = {7},
                 .first_slot = 64,
                 .slot_count = 32,
                 .state = DiskState::kFailed,
                 .seen_epoch = 2,
                 .since = {1'700'000'000'000'000'000},
                 .directory = "/mnt/b"}};
  Write(corpus + "/archive/disks", EncodeMeta(meta));
  Write(corpus + "/archive/disk", EncodeDisk({.archive_uuid = options.uuid,
                                              .uuid = {7},
                                              .number = 1,
                                              .segment = meta.segment,
                                              .first_slot = 64,
                                              .slot_count = 32,
                                              .created = meta.created}));

  Write(corpus + "/lock/serve",
        Text(EncodeHolder({.pid = 4711, .purpose = "serve", .socket_path = "/run/sluice.sock"})));
  RetentionPolicy policy;
  policy.generation = 3;
  policy.classes.resize(2);
  policy.classes[1] = {"evidence", 10, GiB(100), absl::Hours(720), GiB(20)};
  policy.holds.resize(2);
  policy.holds[0].id = "case-17";
  policy.holds[0].owner = policy.holds[1].owner = "alice";
  policy.holds[0].reason = "asked for by \"counsel\"\n";
  policy.holds[0].selector = {"market", StreamId{uint64_t{1} << 40 | 7}, {1000}, {2000}};
  policy.holds[1].id = "all";
  policy.holds[1].budget = GiB(1);
  Write(corpus + "/retention/policy", Text(EncodePolicy(policy)));
  Write(corpus + "/retention/empty", Text(EncodePolicy({})));
  Write(corpus + "/lock/record",
        Text(EncodeHolder({.pid = 1, .purpose = "record", .socket_path = ""})));
  Write(corpus + "/lock/later_keys", Text("pid 12\nhost recorder-1\npurpose\n\nsocket  a b \r\n"));
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_corpus DIRECTORY\n");
    return 2;
  }
  sluice::WriteAll(argv[1]);
}
