#include "control/nic/netlink.h"

#include <libmnl/libmnl.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "control/nic/attributes.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

constexpr size_t kMessageMax = 32 << 10;  // what the kernel puts into one at most
constexpr int kDumpAttempts = 5;

// The end of an exchange: an error, or an acknowledgement with error 0.
absl::Status ToStatus(const nlmsghdr* message, absl::string_view what) {
  if (mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) return absl::OkStatus();
  const auto* end = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  if (end->error == 0) return absl::OkStatus();
  std::string said;
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) != 0) {
    // Behind the request that it is about, or only that one's header.
    const size_t request =
        (message->nlmsg_flags & NLM_F_CAPPED) != 0 ? MNL_NLMSG_HDRLEN : end->msg.nlmsg_len;
    const size_t skip = sizeof(end->error) + MNL_ALIGN(request);
    const size_t size = mnl_nlmsg_get_payload_len(message);
    if (skip < size) {
      const auto* bytes = reinterpret_cast<const std::byte*>(end);
      said = Attributes(absl::MakeConstSpan(bytes + skip, size - skip)).Text(NLMSGERR_ATTR_MSG);
    }
  }
  const absl::Status status = absl::ErrnoToStatus(-end->error, what);
  if (said.empty()) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(), " (", said, ")"));
}

// The end of a list: 0, or what went wrong on the way.
absl::Status EndOfDump(const nlmsghdr* message, absl::string_view what) {
  int error = 0;
  if (mnl_nlmsg_get_payload_len(message) < sizeof(error)) return absl::OkStatus();
  std::memcpy(&error, mnl_nlmsg_get_payload(message), sizeof(error));
  return error < 0 ? absl::ErrnoToStatus(-error, what) : absl::OkStatus();
}

}  // namespace

void Netlink::Close::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

absl::StatusOr<Netlink> Netlink::Open(int protocol) {
  mnl_socket* const socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
  if (socket == nullptr) return absl::ErrnoToStatus(errno, "open a netlink socket");
  Netlink netlink(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
    return absl::ErrnoToStatus(errno, "bind a netlink socket");
  }
  // Refused by old kernels, which then say less.
  int on = 1;
  mnl_socket_setsockopt(socket, NETLINK_EXT_ACK, &on, sizeof(on));
  mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &on, sizeof(on));
  return netlink;
}

absl::Status Netlink::Send(nlmsghdr* request, uint16_t flags, absl::string_view what) {
  request->nlmsg_flags = NLM_F_REQUEST | flags;
  request->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), request, request->nlmsg_len) >= 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, what);
}

absl::Status Netlink::Receive(absl::string_view what, Answer* answer, bool* changed) {
  std::vector<char> buffer(kMessageMax);
  while (true) {
    const ssize_t received = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return absl::ErrnoToStatus(errno, what);
    int left = static_cast<int>(received);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence_) continue;  // the rest of an exchange that was given up
      if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) *changed = true;
      if (message->nlmsg_type == NLMSG_DONE) return EndOfDump(message, what);
      if (message->nlmsg_type == NLMSG_ERROR) return ToStatus(message, what);
      const auto* payload = static_cast<const std::byte*>(mnl_nlmsg_get_payload(message));
      answer->emplace_back(payload, payload + mnl_nlmsg_get_payload_len(message));
    }
  }
}

absl::StatusOr<Netlink::Answer> Netlink::Do(nlmsghdr* request, absl::string_view what) {
  SLUICE_RETURN_IF_ERROR(Send(request, NLM_F_ACK, what));
  Answer answer;
  bool changed = false;
  SLUICE_RETURN_IF_ERROR(Receive(what, &answer, &changed));
  return answer;
}

absl::StatusOr<Netlink::Answer> Netlink::Dump(nlmsghdr* request, absl::string_view what) {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    SLUICE_RETURN_IF_ERROR(Send(request, NLM_F_DUMP, what));
    Answer answer;
    bool changed = false;
    SLUICE_RETURN_IF_ERROR(Receive(what, &answer, &changed));
    if (!changed) return answer;
  }
  return absl::AbortedError(absl::StrCat(what, ": it keeps changing while it is read"));
}

}  // namespace sluice
