#include "ingest/ring/sim_disk.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "ingest/check.h"

namespace sluice {
namespace {

std::string_view View(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

int SimDisk::AddFile(uint64_t bytes) {
  const int descriptor = world_->NewDescriptor();
  File& file = files_[descriptor];
  file.own.assign(bytes, '\0');
  file.platter = std::as_writable_bytes(std::span(file.own));
  return descriptor;
}

int SimDisk::AddFile(std::span<std::byte> platter) {
  const int descriptor = world_->NewDescriptor();
  files_[descriptor].platter = platter;
  return descriptor;
}

std::string_view SimDisk::Bytes(int file) const { return View(files_.at(file).platter); }

// Remembers a write, and what was durable under it: `before`, from the begin of the block at `at`.
void SimDisk::Record(File& file, uint64_t at, std::string_view before, std::string_view bytes) {
  const uint64_t first = RoundDown(at, kBlock);
  for (uint64_t block = first; block < at + bytes.size(); block += kBlock) {
    if (file.durable.contains(block)) continue;
    file.durable.emplace(block, before.substr(block - first, kBlock));
  }
  file.dirty.push_back({++writes_, at, std::string(bytes)});
}

void SimDisk::Put(int file, uint64_t at, std::string_view bytes) {
  File& to = Of(file);
  SLUICE_CHECK(at + bytes.size() <= to.platter.size());
  Record(to, at, View(to.platter).substr(RoundDown(at, kBlock)), bytes);
  std::memcpy(to.platter.data() + at, bytes.data(), bytes.size());
  if (!to.watched.empty()) to.watched.replace(at, bytes.size(), bytes);
}

void SimDisk::Sync(int file, uint64_t covers) {
  File& of = Of(file);
  const bool any_in_doubt = std::any_of(of.dirty.begin(), of.dirty.end(),
                                        [](const Write& write) { return write.in_doubt; });
  if (any_in_doubt) Supersede(of, covers);
  std::erase_if(of.dirty, [&](const Write& write) {
    if (write.number > covers || write.in_doubt) return false;
    for (uint64_t i = 0; i < write.bytes.size();) {
      const uint64_t at = write.at + i;
      std::string& block = of.durable.at(RoundDown(at, kBlock));
      const uint64_t inside = at % kBlock;
      const uint64_t length = std::min(write.bytes.size() - i, block.size() - inside);
      block.replace(inside, length, write.bytes, i, length);
      i += length;
    }
    return true;
  });
  std::set<uint64_t> still;
  for (const Write& write : of.dirty) {
    for (uint64_t block = RoundDown(write.at, kBlock); block < write.at + write.bytes.size();
         block += kBlock) {
      still.insert(block);
    }
  }
  std::erase_if(of.durable, [&](const auto& block) { return !still.contains(block.first); });
}

// What is in doubt stays so only where nothing newer becomes durable.
void SimDisk::Supersede(File& file, uint64_t covers) {
  std::vector<Write> left;
  for (const Write& write : file.dirty) {
    std::vector<Write> pieces = {write};
    for (const Write& newer : file.dirty) {
      const bool becomes_durable = newer.number <= covers && !newer.in_doubt;
      if (!write.in_doubt || !becomes_durable || newer.number < write.number) continue;
      const uint64_t end = newer.at + newer.bytes.size();
      std::vector<Write> rest;
      for (const Write& piece : pieces) {
        const uint64_t piece_end = piece.at + piece.bytes.size();
        if (piece.at < newer.at) {
          rest.push_back(
              {piece.number, piece.at, piece.bytes.substr(0, newer.at - piece.at), true});
        }
        if (piece_end > end) {
          const uint64_t from = std::max(end, piece.at);
          rest.push_back({piece.number, from, piece.bytes.substr(from - piece.at), true});
        }
      }
      pieces = std::move(rest);
    }
    for (Write& piece : pieces) left.push_back(std::move(piece));
  }
  file.dirty = std::move(left);
}

void SimDisk::SyncWhatIsThere(int file) {
  for (Write& write : Of(file).dirty) write.in_doubt = false;
  Sync(file, writes_);
}

void SimDisk::FailSync(int file, uint64_t covers) {
  for (Write& write : Of(file).dirty) write.in_doubt |= write.number <= covers;
}

// ---- what others write

void SimDisk::Watch() {
  for (auto& [descriptor, file] : files_) file.watched = View(file.platter);
}

void SimDisk::Notice(int file) {
  File& of = Of(file);
  const std::string_view now = View(of.platter);
  SLUICE_CHECK(of.watched.size() == now.size());
  for (uint64_t at = 0; at < now.size(); at += kBlock) {
    const std::string_view block = now.substr(at, kBlock);
    const std::string_view before = std::string_view(of.watched).substr(at, kBlock);
    if (block == before) continue;
    Record(of, at, before, block);
    of.watched.replace(at, block.size(), block);
  }
}

void SimDisk::Revert() {
  for (auto& [descriptor, file] : files_) {
    for (uint64_t at = 0; at < file.watched.size(); at += kBlock) {
      const uint64_t length = std::min(kBlock, file.watched.size() - at);
      if (std::memcmp(file.platter.data() + at, file.watched.data() + at, length) == 0) continue;
      std::memcpy(file.platter.data() + at, file.watched.data() + at, length);
    }
  }
}

// ---- power loss

void SimDisk::Lose(const File& file, std::span<std::byte> image) {
  for (const auto& [at, block] : file.durable) {
    std::memcpy(image.data() + at, block.data(), block.size());
  }
  for (const Write& write : file.dirty) {
    const uint64_t whole = world_->Roll(4);  // 0: all of it was kept, 1: all of it dropped
    for (uint64_t i = 0; i < write.bytes.size(); i += kSector) {
      const uint64_t length = std::min<uint64_t>(kSector, write.bytes.size() - i);
      std::byte* const sector = image.data() + write.at + i;
      const uint64_t fate = whole < 2 ? whole : world_->Roll(3);
      const uint64_t kept = fate == 0 ? length : fate == 1 ? 0 : world_->Roll(length);
      std::memcpy(sector, write.bytes.data() + i, kept);
      if (fate == 2) std::memset(sector + kept, '?', length - kept);  // torn
    }
  }
}

std::string SimDisk::CrashImage(int file) {
  std::string image(Bytes(file));
  Lose(Of(file), std::as_writable_bytes(std::span(image)));
  return image;
}

void SimDisk::LosePower() {
  for (auto& [descriptor, file] : files_) {
    Lose(file, file.platter);
    if (!file.watched.empty()) {
      for (const auto& [at, block] : file.durable) {
        file.watched.replace(at, block.size(), View(file.platter).substr(at, block.size()));
      }
    }
    file.dirty.clear();
    file.durable.clear();
  }
}

void SimDisk::FlipBit(int file, uint64_t at) {
  File& of = Of(file);
  of.platter[at] ^= std::byte{0x10};
  if (!of.watched.empty()) of.watched[at] = static_cast<char>(of.platter[at]);
}

}  // namespace sluice
