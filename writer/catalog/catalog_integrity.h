// Whether SQLite itself finds fault with the catalog's file.
#ifndef WRITER_CATALOG_CATALOG_INTEGRITY_H_
#define WRITER_CATALOG_CATALOG_INTEGRITY_H_

#include <string>

#include "absl/status/status.h"

namespace sluice {

// Reads all of it. NOT_FOUND: there is none; DATA_LOSS: it is damaged, or no catalog;
// FAILED_PRECONDITION: a newer version's. One of an older version is as good as one of this.
absl::Status CheckCatalogIntegrity(const std::string& path);

}  // namespace sluice

#endif  // WRITER_CATALOG_CATALOG_INTEGRITY_H_
