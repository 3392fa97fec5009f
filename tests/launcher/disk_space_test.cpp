// The room that is left, as the kernel tells it.
#include "launcher/disk_space.hpp"
#include "tests/support/temp_dir.hpp"

#include <boost/test/unit_test.hpp>

using namespace troupe;

BOOST_AUTO_TEST_CASE(a_directory_has_some_room_and_no_more_than_all) {
  const tests::temp_dir folder;
  const auto found = space_of(folder.path());
  BOOST_REQUIRE(found);
  BOOST_TEST(found->total > 0U);
  BOOST_TEST(found->free <= found->total);
  // The standard library asks the same kernel.
  const auto other = std::filesystem::space(folder.path());
  BOOST_TEST(found->total == other.capacity);
}

BOOST_AUTO_TEST_CASE(what_is_not_there_has_none) {
  const tests::temp_dir folder;
  BOOST_TEST(!space_of(folder.path() / "nothing"));
}
