// Where a list goes on, in a form that clients do not look into.
#ifndef CONTROL_SERVICE_PAGE_TOKEN_H_
#define CONTROL_SERVICE_PAGE_TOKEN_H_

#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

// Tells requests apart: the method, and all fields but the token and the page size.
enum class RequestHash : uint64_t {};
RequestHash HashRequest(std::initializer_list<absl::string_view> parts);

// `position` is where the page ended: the last id on it.
std::string MakePageToken(RequestHash request, absl::string_view position);
// The position. INVALID_ARGUMENT: not a token of ours, or one of another request.
absl::StatusOr<std::string> ReadPageToken(RequestHash request, absl::string_view token);

// How many to return: 0 asks for the default. INVALID_ARGUMENT when negative.
absl::StatusOr<size_t> PageSize(int32_t asked);

}  // namespace sluice

#endif  // CONTROL_SERVICE_PAGE_TOKEN_H_
