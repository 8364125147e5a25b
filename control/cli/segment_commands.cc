// sluice archive export-segment, import: sealed segments elsewhere, with their proof.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "control/cli/command.h"
#include "control/cli/human.h"
#include "control/cli/json.h"
#include "control/cli/options.h"
#include "control/cli/target.h"
#include "ingest/status_macros.h"
#include "writer/archive/archive_files.h"
#include "writer/archive/carried_segment.h"
#include "writer/segment/segment_codec.h"

namespace sluice {
namespace {

struct Options {
  TargetOptions target;
  OutputFormat output = OutputFormat::kText;
  uint64_t segment = 0;
  std::string to;
  std::vector<std::string> files;
};

template <class Bytes>
std::string Hex(const Bytes& bytes) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string Quoted(uint64_t number) { return absl::StrCat("\"", number, "\""); }

// What lies beside the file: FILE.json.
std::string Proof(const CarriedSegment& segment) {
  const SegmentHeader& header = segment.header;
  return absl::StrCat(
      "{\n \"archive\": \"", Hex(header.archive_uuid),
      "\",\n \"segment\": ", Quoted(header.segment_id),
      ",\n \"recording\": ", JsonString(RecordingName(header)), ",\n \"recordingUid\": \"",
      absl::Hex(header.recording_uid, absl::kZeroPad16), "\",\n \"lane\": ", header.lane,
      ",\n \"epoch\": ", header.epoch, ",\n \"bytes\": ", Quoted(header.segment_bytes),
      ",\n \"payloadBytes\": ", Quoted(segment.payload.value),
      ",\n \"streams\": ", Quoted(segment.streams),
      ",\n \"firstTimeNanos\": ", Quoted(static_cast<uint64_t>(segment.first_time.value)),
      ",\n \"lastTimeNanos\": ", Quoted(static_cast<uint64_t>(segment.last_time.value)),
      ",\n \"fileSha256\": \"", Hex(segment.file_sha256), "\",\n \"footerSha256\": \"",
      Hex(segment.footer_sha256),
      "\",\n \"previousSegment\": ", Quoted(static_cast<uint64_t>(segment.origin.previous.id)),
      ",\n \"previousFooterSha256\": \"", Hex(segment.origin.previous.footer), "\"\n}\n");
}

absl::Status Export(const Options& options) {
  std::string path = options.to;
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    absl::StrAppend(&path, "/segment-", options.segment, ".seg");
  }
  SLUICE_ASSIGN_OR_RETURN(const CarriedSegment segment,
                          ExportSegment(options.target.archive, SegmentId{options.segment}, path));
  const std::string proof = Proof(segment);
  std::ofstream file(path + ".json", std::ios::trunc);
  file << proof << std::flush;
  if (!file) return absl::UnavailableError(absl::StrCat("write ", path, ".json: it failed"));
  if (options.output == OutputFormat::kJson) {
    std::cout << proof << std::flush;
  } else {
    std::cout << "segment " << options.segment << " of recording \""
              << Printable(RecordingName(segment.header)) << "\", " << HumanSize(segment.payload)
              << " of payload: " << path << ", and what proves it: " << path << ".json"
              << std::endl;
  }
  return absl::OkStatus();
}

// What the file beside it says, if there is one, has to be true.
absl::Status CheckProof(const CarriedSegment& segment) {
  const std::string path = segment.path + ".json";
  std::ifstream file(path);
  if (!file) {
    Note(absl::StrCat("there is no ", path, ": only what ", segment.path,
                      " says of itself was checked"));
    return absl::OkStatus();
  }
  std::stringstream text;
  text << file.rdbuf();
  google::protobuf::Struct proof;
  if (!google::protobuf::util::JsonStringToMessage(text.str(), &proof).ok()) {
    return absl::DataLossError(absl::StrCat(path, ": it is not what export-segment writes"));
  }
  const auto& fields = proof.fields();
  const std::pair<const char*, std::string> wanted[] = {
      {"fileSha256", Hex(segment.file_sha256)},
      {"footerSha256", Hex(segment.footer_sha256)},
      {"archive", Hex(segment.header.archive_uuid)},
      {"segment", absl::StrCat(segment.header.segment_id)}};
  for (const auto& [name, value] : wanted) {
    const auto said = fields.find(name);
    if (said == fields.end() || said->second.string_value() != value) {
      return absl::DataLossError(absl::StrCat(
          segment.path, ": its ", name, " is ", value, ", and ", path, " says ",
          said == fields.end() ? "nothing of it" : Printable(said->second.string_value()),
          ": one of them was changed"));
    }
  }
  return absl::OkStatus();
}

absl::Status Import(const Options& options) {
  std::vector<CarriedSegment> segments;
  for (const std::string& path : options.files) {
    SLUICE_ASSIGN_OR_RETURN(segments.emplace_back(), VerifyCarriedSegment(path));
    SLUICE_RETURN_IF_ERROR(CheckProof(segments.back()));
  }
  SLUICE_ASSIGN_OR_RETURN(const RecoveryReport report,
                          ImportSegments(segments, options.target.archive));
  ByteCount payload;
  for (const CarriedSegment& segment : segments) payload += segment.payload;
  if (options.output == OutputFormat::kJson) {
    std::cout << "{\n \"segments\": " << segments.size()
              << ",\n \"payloadBytes\": " << Quoted(payload.value)
              << ",\n \"notes\": " << JsonStrings(report.notes) << "\n}" << std::endl;
  } else {
    for (const std::string& note : report.notes) std::cout << Printable(note) << '\n';
    std::cout << "imported " << segments.size() << (segments.size() == 1 ? " segment" : " segments")
              << " with " << HumanSize(payload) << " of payload into " << options.target.archive
              << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace

void AddSegmentCommands(CLI::App& group, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& out = *group.add_subcommand("export-segment",
                                        "Copy a sealed segment into a file, with its proof beside");
  out.add_option("SEGMENT", options->segment, "Its number")->required();
  out.add_option("--to", options->to, "A directory, or the file, which must be new")->required();
  AddArchiveOption(out, options->target);
  AddOutputOption(out, options->output, "text");
  out.callback([&action, options] { action = [options] { return ExitCodeOf(Export(*options)); }; });
  CLI::App& in = *group.add_subcommand(
      "import", "Take such files into their archive, or into a new one that is only for reading");
  in.add_option("FILE", options->files, "Files of export-segment")->required();
  AddArchiveOption(in, options->target);
  AddOutputOption(in, options->output, "text");
  in.callback([&action, options] { action = [options] { return ExitCodeOf(Import(*options)); }; });
}

}  // namespace sluice
