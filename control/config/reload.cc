#include "control/config/reload.h"

#include <algorithm>

namespace sluice {
namespace {

template <class List, class Predicate>
bool Has(const List& list, Predicate predicate) {
  return std::any_of(list.begin(), list.end(), predicate);
}

}  // namespace

Reload PlanReload(const ServeConfig& now, const ServeConfig& wanted) {
  Reload reload;
  for (const RecordingSpec& old : now.recordings) {
    if (!Has(wanted.recordings, [&](const RecordingSpec& spec) { return spec == old; })) {
      reload.to_stop.push_back(old.id);
    }
  }
  for (const RecordingSpec& spec : wanted.recordings) {
    if (!Has(now.recordings, [&](const RecordingSpec& old) { return old == spec; })) {
      reload.to_start.push_back(spec);
    }
  }
  reload.classes = now.recorder.retention_classes != wanted.recorder.retention_classes;
  for (const InterfaceConfig& interface : wanted.interfaces) {
    if (!Has(now.interfaces, [&](const InterfaceConfig& old) { return old == interface; })) {
      reload.interfaces.push_back(interface);
    }
  }
  for (const auto& [field, text] : wanted.fixed) {
    const auto before = now.fixed.find(field);
    if (before == now.fixed.end() || before->second != text) reload.later.push_back(field);
  }
  return reload;
}

}  // namespace sluice
