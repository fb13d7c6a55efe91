"""What people run to develop and publish the project. Nothing that the product imports."""
