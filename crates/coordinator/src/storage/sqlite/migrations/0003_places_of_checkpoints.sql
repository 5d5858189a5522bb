-- The fence of the lease that a checkpoint was taken under is part of its place in the store. Those of before lie
-- elsewhere, among the artifacts: their jobs begin anew.
ALTER TABLE parts ADD COLUMN checkpoint_fence INTEGER;
UPDATE parts SET checkpoint = NULL, checkpoint_step = NULL;
