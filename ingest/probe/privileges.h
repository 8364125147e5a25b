// What this process may do.
#ifndef INGEST_PROBE_PRIVILEGES_H_
#define INGEST_PROBE_PRIVILEGES_H_

#include <cstdint>
#include <optional>

namespace sluice {

struct Privileges {
  // Capabilities in effect. Where the kernel asks for them in the initial user namespace, as
  // zero-copy receive does, they count for nothing in another one.
  bool net_admin = false;
  bool ipc_lock = false;
  bool initial_user_namespace = true;
  std::optional<uint64_t> locked_bytes_max;  // RLIMIT_MEMLOCK; nothing: no limit
};

Privileges ReadPrivileges();

}  // namespace sluice

#endif  // INGEST_PROBE_PRIVILEGES_H_
