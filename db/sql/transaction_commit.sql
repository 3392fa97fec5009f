-- Its tag is COMMIT; ROLLBACK when the transaction had failed.
commit
