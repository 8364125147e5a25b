#include "writer/catalog/migration.h"

#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "writer/catalog/catalog.h"
#include "writer/catalog/schema.h"
#include "writer/catalog/sqlite.h"
#include "writer/stream_id.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class MigrationTest : public testing::Test {
 protected:
  MigrationTest() { Remove(); }
  ~MigrationTest() override { Remove(); }

  void Remove() const {
    for (const char* suffix : {"", "-wal", "-shm"}) std::remove((path_ + suffix).c_str());
  }
  std::unique_ptr<SqliteDatabase> Database() const {
    auto db = SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadWrite);
    EXPECT_TRUE(db.ok()) << db.status();
    return db.ok() ? *std::move(db) : nullptr;
  }
  // A catalog as the program of version `version` made it, with `sql` done to it.
  void Make(size_t version, const std::string& sql = "") const {
    const auto db = Database();
    ASSERT_EQ(*MigrateCatalog(*db, path_, absl::MakeConstSpan(kCatalogSteps).first(version)), 0);
    const absl::Status status = db->Execute(sql);
    ASSERT_TRUE(status.ok()) << status;
  }

  const std::string path_ = testing::TempDir() + "/migration_test.db";
};

TEST_F(MigrationTest, ANewDatabaseTakesAllSteps) {
  Make(kCatalogVersion);
  const auto db = Database();
  EXPECT_EQ(*db->QueryInt("PRAGMA user_version"), kCatalogVersion);
  EXPECT_EQ(*db->QueryInt("PRAGMA application_id"), kCatalogApplicationId);
  EXPECT_EQ(*MigrateCatalog(*db, path_, kCatalogSteps), kCatalogVersion);
}

TEST_F(MigrationTest, AStepThatFailsChangesNothing) {
  Make(1, "INSERT INTO deletions VALUES (7)");
  const auto db = Database();
  const char* const steps[] = {kCatalogStep1, "DELETE FROM deletions",
                               "CREATE TABLE good (x); UPDATE nothing SET x = 1"};
  const absl::Status status = MigrateCatalog(*db, path_, steps).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("from version 2 to 3: "));
  EXPECT_EQ(*db->QueryInt("PRAGMA user_version"), 2);
  EXPECT_EQ(*db->QueryInt("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'good'"), 0);
  EXPECT_EQ(*db->QueryInt("SELECT COUNT(*) FROM deletions"), 0);
}

TEST_F(MigrationTest, AReaderLeavesAnOldCatalogAlone) {
  Make(1);
  const absl::Status status = Catalog::Open(path_, Catalog::Mode::kReadOnly).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("has version 1"));
  EXPECT_EQ(*Database()->QueryInt("PRAGMA user_version"), 1);
}

// Nothing that only the catalog knows may get lost on the way. Segments and streams come back from
// the segments: archive_keeper_test.
TEST_F(MigrationTest, FromVersion1) {
  Make(1, R"sql(
      UPDATE archive SET last_segment_id = 12;
      INSERT INTO recordings VALUES (3, 'a', 'tcp://0.0.0.0:9000', 3, 5, 77, 'disk lost');
      INSERT INTO deletions VALUES (9);
      INSERT INTO segments VALUES (12, 0, 3, 2, 1, 1, 8192, 100, 300, 50, zeroblob(80));
      INSERT INTO streams VALUES (7, 3, zeroblob(24), '10.0.0.1:50001', zeroblob(24), 100, 230, 0,
                                  50, 0, 1);
      INSERT INTO parts VALUES (7, 12, 0, 50);
      )sql");
  const auto catalog = Catalog::Open(path_, Catalog::Mode::kReadWrite);
  ASSERT_TRUE(catalog.ok()) << catalog.status();
  EXPECT_THAT((*catalog)->migration_note(), HasSubstr("from version 1 to "));
  EXPECT_EQ(*(*catalog)->LastSegmentId(), SegmentId{12});
  EXPECT_THAT(*(*catalog)->DeletedRecordings(), testing::ElementsAre(9));
  const auto recording = (*catalog)->Recording("a");
  ASSERT_TRUE(recording.ok()) << recording.status();
  EXPECT_EQ(recording->failure, "disk lost");
  EXPECT_EQ(recording->stopped.value, 77);
  EXPECT_EQ(recording->stream_count, 0u);
  EXPECT_THAT(*(*catalog)->Segments(), IsEmpty());
  EXPECT_THAT((*catalog)->FindStreams({})->rows, IsEmpty());
  EXPECT_THAT(*(*catalog)->Removals(), IsEmpty());
  EXPECT_EQ(recording->retention_class, "");
  EXPECT_EQ(*(*catalog)->Policy(), "");
  EXPECT_THAT(*(*catalog)->Audit(0, 10), IsEmpty());

  // Only the first opening has something to say.
  const auto again = Catalog::Open(path_, Catalog::Mode::kReadOnly);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->migration_note(), "");
}

}  // namespace
}  // namespace sluice
