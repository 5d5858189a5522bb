-- The oldest one, so that the answer does not change when another profile-equal worker makes it again.
SELECT artifacts.*,
       (SELECT json_group_array(tag) FROM (SELECT tag FROM tags WHERE tags.digest = artifacts.digest ORDER BY tag))
           AS tags
FROM artifacts
WHERE key = ?1
ORDER BY id
LIMIT 1
