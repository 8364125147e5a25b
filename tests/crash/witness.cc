#include "tests/crash/witness.h"

#include <chrono>
#include <utility>

#include "writer/archive/archive.h"

namespace sluice {

Witness::Witness(const std::string& archive)
    : path_(Archive::CatalogPath(archive)), thread_([this] {
        while (!stop_) {
          Look();
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        Look();
      }) {}

void Witness::Look() {
  if (catalog_ == nullptr) {
    auto opened = Catalog::Open(path_, Catalog::Mode::kReadOnly);
    if (!opened.ok()) return;  // not made yet, or made anew just now
    catalog_ = *std::move(opened);
  }
  if (!published_.Add(*catalog_).ok()) catalog_ = nullptr;
  if (!published_.segments().empty()) {
    last_segment_ = static_cast<uint64_t>(published_.segments().rbegin()->first);
  }
}

Published Witness::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  catalog_ = nullptr;
  return published_;
}

}  // namespace sluice
