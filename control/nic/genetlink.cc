#include "control/nic/genetlink.h"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ingest/check.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

const GenetlinkFamily kController = {"nlctrl", GENL_ID_CTRL, 1};

Attributes Parse(const std::vector<std::byte>& payload) {
  if (payload.size() < GENL_HDRLEN) return Attributes();
  return Attributes(absl::MakeConstSpan(payload).subspan(GENL_HDRLEN));
}

}  // namespace

GenetlinkRequest::GenetlinkRequest(const GenetlinkFamily& family, uint8_t command)
    : message_(mnl_nlmsg_put_header(buffer_.data())) {
  message_->nlmsg_type = family.id;
  auto* const header =
      static_cast<genlmsghdr*>(mnl_nlmsg_put_extra_header(message_, sizeof(genlmsghdr)));
  header->cmd = command;
  header->version = family.version;
}

void GenetlinkRequest::Put(uint16_t type, uint32_t value) {
  SLUICE_CHECK(mnl_attr_put_u32_check(message_, buffer_.size(), type, value));
}

void GenetlinkRequest::PutByte(uint16_t type, uint8_t value) {
  SLUICE_CHECK(mnl_attr_put_u8_check(message_, buffer_.size(), type, value));
}

void GenetlinkRequest::Put(uint16_t type, const std::string& text) {
  SLUICE_CHECK(mnl_attr_put_strz_check(message_, buffer_.size(), type, text.c_str()));
}

void GenetlinkRequest::Nest(uint16_t type, const std::function<void()>& fill) {
  nlattr* const nest = mnl_attr_nest_start_check(message_, buffer_.size(), type);
  SLUICE_CHECK(nest != nullptr);
  fill();
  mnl_attr_nest_end(message_, nest);
}

absl::StatusOr<Genetlink> Genetlink::Open() {
  SLUICE_ASSIGN_OR_RETURN(Netlink netlink, Netlink::Open(NETLINK_GENERIC));
  return Genetlink(std::move(netlink));
}

absl::StatusOr<GenetlinkFamily> Genetlink::Family(const std::string& name) {
  GenetlinkRequest request(kController, CTRL_CMD_GETFAMILY);
  request.Put(CTRL_ATTR_FAMILY_NAME, name);
  const absl::StatusOr<Attributes> answer = Do(request, "generic netlink");
  if (absl::IsNotFound(answer.status())) {
    return absl::NotFoundError(
        absl::StrCat("this kernel has no generic netlink family \"", name, "\""));
  }
  SLUICE_RETURN_IF_ERROR(answer.status());
  return GenetlinkFamily{name,
                         static_cast<uint16_t>(answer->Number(CTRL_ATTR_FAMILY_ID).value_or(0)),
                         static_cast<uint8_t>(answer->Number(CTRL_ATTR_VERSION).value_or(1))};
}

absl::StatusOr<Attributes> Genetlink::Do(GenetlinkRequest& request, absl::string_view what) {
  SLUICE_ASSIGN_OR_RETURN(const Netlink::Answer answer, netlink_.Do(request.message(), what));
  return answer.empty() ? Attributes() : Parse(answer.back());
}

absl::StatusOr<std::vector<Attributes>> Genetlink::Dump(GenetlinkRequest& request,
                                                        absl::string_view what) {
  SLUICE_ASSIGN_OR_RETURN(const Netlink::Answer answer, netlink_.Dump(request.message(), what));
  std::vector<Attributes> list;
  list.reserve(answer.size());
  for (const std::vector<std::byte>& payload : answer) list.push_back(Parse(payload));
  return list;
}

}  // namespace sluice
