// Every operation of one kind that the kernel may hold at once.
#ifndef INGEST_RING_OP_TABLE_H_
#define INGEST_RING_OP_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ingest/check.h"
#include "ingest/ring/op_tag.h"

namespace sluice {

// The table never grows and an operation never moves while the kernel knows its address. Start()
// answers nullptr when the table is full: the caller stops producing, and that is all our
// back-pressure. A reused slot has a new generation, so a completion that comes late is
// recognised, not misdelivered. Used on one lane's thread.
template <class Op>
class OpTable {
 public:
  OpTable(OpKind kind, uint8_t track, uint32_t slots)
      : kind_(kind), track_(track), slots_(std::make_unique<Slot[]>(slots)), slot_count_(slots) {
    SLUICE_CHECK(slots <= OpTag::kFieldMask);
    free_.reserve(slots);
    for (uint32_t i = 0; i < slots; ++i) free_.push_back(slots - 1 - i);
  }
  OpTable(const OpTable&) = delete;
  OpTable& operator=(const OpTable&) = delete;
  ~OpTable() { SLUICE_CHECK(size() == 0); }  // the kernel may still write there

  Op* Start(Op&& op, OpTag* tag) {
    if (free_.empty()) return nullptr;
    const uint32_t slot = free_.back();
    free_.pop_back();
    *tag = {kind_, track_, slots_[slot].generation, slot};
    return &slots_[slot].op.emplace(std::move(op));
  }

  // nullptr for an operation that has finished.
  Op* Find(OpTag tag) {
    SLUICE_CHECK(tag.kind == kind_ && tag.slot < slot_count_);
    Slot& slot = slots_[tag.slot];
    return tag.generation == slot.generation && slot.op ? &*slot.op : nullptr;
  }

  // Only after the completion that says that no more will come.
  void Finish(OpTag tag) {
    SLUICE_CHECK(Find(tag) != nullptr);
    Slot& slot = slots_[tag.slot];
    slot.op.reset();
    slot.generation = (slot.generation + 1) & OpTag::kFieldMask;
    free_.push_back(tag.slot);
  }

  // Calls visit(OpTag, Op&) for each; the visitor may Finish() what it is shown.
  template <class Visitor>
  void ForEach(Visitor visit) {
    for (uint32_t i = 0; i < slot_count_; ++i) {
      if (slots_[i].op) visit(OpTag{kind_, track_, slots_[i].generation, i}, *slots_[i].op);
    }
  }

  uint32_t size() const { return slot_count_ - static_cast<uint32_t>(free_.size()); }
  uint32_t capacity() const { return slot_count_; }
  bool full() const { return free_.empty(); }

 private:
  struct Slot {
    std::optional<Op> op;
    uint32_t generation = 0;
  };
  const OpKind kind_;
  const uint8_t track_;
  std::unique_ptr<Slot[]> slots_;
  const uint32_t slot_count_;
  std::vector<uint32_t> free_;
};

}  // namespace sluice

#endif  // INGEST_RING_OP_TABLE_H_
